"""How much of a term is earned: cumulative floors, so that no rounding is ever lost or made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.domain.contracts.contract import Term
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.money import share_floor

WHOLE_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Earned:
    """What a term has earned since the last booking; the fee is in `gross_minor`."""

    gross_minor: int
    fee_minor: int


def earned_since(term: Term, served_ms: int, reserved_minor: int) -> Earned:
    """Return earned(t) = floor(amount * served / span) less what was booked.

    Never more than is held and not reserved for open refunds. The fee is a cumulative floor of the gross.
    """
    target_minor = share_floor(term.amount_minor, served_ms, term.hours * HOUR_MS)
    free_minor = term.held_minor - reserved_minor
    gross_minor = max(0, min(target_minor - term.released_minor, free_minor))
    fee_minor = (term.released_minor + gross_minor) * term.fee_ppm // WHOLE_PPM - term.fee_minor
    return Earned(gross_minor, max(0, min(fee_minor, gross_minor)))


def with_earned(term: Term, earned: Earned) -> Term:
    """Add what was earned to the term's parts."""
    return replace(
        term,
        released_minor=term.released_minor + earned.gross_minor,
        fee_minor=term.fee_minor + earned.fee_minor,
    )


def penalty_minor(refunded_minor: int, penalty_ppm: int) -> int:
    """Return the stated penalty on a refund, rounded down."""
    return share_floor(refunded_minor, penalty_ppm, WHOLE_PPM)

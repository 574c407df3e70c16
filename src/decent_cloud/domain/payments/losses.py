"""Who bears a lost dispute of a term's payment."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.domain.contracts.contract import Term
from decent_cloud.domain.ledger.postings import LostParts
from decent_cloud.kernel.money import share_floor


def share_loss(term: Term, taken_minor: int, credit_minor: int) -> tuple[LostParts, Term]:
    """Share out what the processor took: held first, then released, then credited; what is left is our loss.

    `credit_minor` is the tenant's credit balance: what it can't give back is owed. Refunded money is gone twice,
    once by the refund and once by the dispute: that part is the platform's loss and stays outside the term.
    """
    held = min(term.held_minor, taken_minor)
    released = min(term.released_minor, taken_minor - held)
    fee = share_floor(term.fee_minor, released, term.released_minor) if released else 0
    credited = min(term.credited_minor, taken_minor - held - released)
    from_credit = min(credited, credit_minor)
    parts = LostParts(
        held_minor=held,
        payable_minor=released - fee,
        fee_minor=fee,
        credit_minor=from_credit,
        owed_minor=credited - from_credit,
        loss_minor=taken_minor - held - released - credited,
    )
    after = replace(
        term,
        released_minor=term.released_minor - released,
        fee_minor=term.fee_minor - fee,
        credited_minor=term.credited_minor - credited,
        lost_minor=term.lost_minor + held + released + credited,
    )
    return parts, after

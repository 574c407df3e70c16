"""How long a contract was really served, and how that time fills its terms."""

from __future__ import annotations

from decent_cloud.domain.contracts.contract import Contract, Term
from decent_cloud.kernel.clock import HOUR_MS


def served_ms(contract: Contract, now_ms: int) -> int:
    """Return served time over all terms: suspended time is out, and it stops at the end of what is paid."""
    if not contract.clock_from_ms:
        return contract.served_ms
    until_ms = min(now_ms, contract.paid_until_ms) if contract.paid_until_ms else now_ms
    return contract.served_ms + max(0, until_ms - contract.clock_from_ms)


def served_of_terms(terms: tuple[Term, ...], served_ms: int) -> tuple[int, ...]:
    """Fill the terms with served time in their order; a term nobody paid takes none."""
    left_ms = max(0, served_ms)
    shares = []
    for term in terms:
        share_ms = min(left_ms, term.hours * HOUR_MS) if term.paid else 0
        shares.append(share_ms)
        left_ms -= share_ms
    return tuple(shares)

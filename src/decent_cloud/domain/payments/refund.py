"""What a refund is."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.kernel.ids import AccountId, ContractId, PaymentId, RefundId, TermId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import RefundState


@dataclass(frozen=True, slots=True)
class Refund:
    """Money on its way back; `source` is the ledger account it was taken from (name)."""

    id: RefundId
    payment: PaymentId
    payee: AccountId
    contract: ContractId
    term: TermId
    processor: str
    asset: Asset
    amount_minor: int
    source: str
    state: RefundState
    created_at_ms: int
    deadline_ms: int
    external: str = ""
    reason: str = ""
    attempts: int = 0
    version: int = 1

"""What a payment is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.kernel.ids import AccountId, ContractId, PaymentId, TermId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import PaymentState

# What stands in `processor` when no processor is asked: the payer's balances, by their account kind.
OWN_MONEY = frozenset({"credit", "prepaid"})


class Purpose(StrEnum):
    """What money is paid for."""

    TERM = "term"
    TOPUP = "topup"
    PACK = "pack"
    PLAN = "plan"
    DEBT = "debt"


@dataclass(frozen=True, slots=True)
class Payment:
    """Money through a processor, or moved from prepaid or credit (then settled at once).

    `instrument` says what to charge in the processor's words (sandbox: the test card's name), never a card number.
    `external` is the processor's id, empty before the first answer.
    """

    id: PaymentId
    payer: AccountId
    purpose: Purpose
    contract: ContractId
    term: TermId
    processor: str
    instrument: str
    asset: Asset
    amount_minor: int
    state: PaymentState
    created_at_ms: int
    deadline_ms: int  # 0 = resting
    external: str = ""
    received_minor: int = 0
    refunded_minor: int = 0
    detail: str = ""
    settled_at_ms: int = 0
    version: int = 1

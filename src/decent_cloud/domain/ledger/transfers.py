"""Ledger words: accounts by name, transfers that are never changed, groups that commit whole."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.kernel.ids import TransferId
from decent_cloud.kernel.money import Asset


class Side(StrEnum):
    """Which side makes an account grow."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """A ledger account of one asset. `name` is `<kind>/<owner>` or a bare kind; `floored` forbids
    going below 0.
    """

    name: str
    asset: Asset
    side: Side
    floored: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """One booking: `amount_minor` > 0 is debited to `debit` and credited to `credit`, in one asset.

    `id` is made by the caller and deterministic, so that the same booking can never be made twice.
    """

    id: TransferId
    debit: LedgerAccount
    credit: LedgerAccount
    amount_minor: int
    kind: str
    reference: str
    booked_at_ms: int
    occurred_at_ms: int

    @property
    def asset(self) -> Asset:
        """The asset of both sides."""
        return self.debit.asset


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's balance in its own direction (may be negative where it is not floored)."""

    account: LedgerAccount
    balance_minor: int


@dataclass(frozen=True, slots=True)
class TrialLine:
    """Sums over all balances of one asset."""

    asset: Asset
    debit_minor: int
    credit_minor: int

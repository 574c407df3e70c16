"""Payments, refunds and the books in dictionaries."""

from __future__ import annotations

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.domain.ledger.transfers import (
    Balance,
    LedgerAccount,
    Side,
    Transfer,
    TrialLine,
)
from decent_cloud.domain.payments.payment import Payment, Purpose
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.errors import AlreadyExists, Internal
from decent_cloud.kernel.ids import ContractId, PaymentId, RefundId
from decent_cloud.kernel.status import PaymentState

_OPEN = {PaymentState.CREATED, PaymentState.HELD_FOR_REVIEW}


class MemoryPayments:
    """Keeps the port `Payments`."""

    def __init__(self, journal: Journal) -> None:
        self._payments: Table[Payment] = Table(journal)
        self._refunds: Table[Refund] = Table(journal)

    def get(self, payment: PaymentId) -> Payment | None:
        return self._payments.get(payment)

    def add(self, payment: Payment) -> None:
        self._check_unique(payment)
        self._payments.add(payment, payment.id)

    def save(self, payment: Payment) -> None:
        self._check_unique(payment)
        self._payments.save(payment, payment.id)

    def _check_unique(self, payment: Payment) -> None:
        for other in self._payments:
            if other.id == payment.id:
                continue
            known = payment.external and other.external == payment.external
            if known and other.processor == payment.processor:
                raise AlreadyExists
            if _open(payment) and _open(other) and other.term == payment.term:
                raise AlreadyExists

    def of_contract(self, contract: ContractId) -> tuple[Payment, ...]:
        found = (row for row in self._payments if row.contract == contract)
        return tuple(sorted(found, key=lambda row: (row.created_at_ms, row.id)))

    def by_external(self, processor: str, external: str) -> Payment | None:
        for row in self._payments:
            if external and (row.processor, row.external) == (processor, external):
                return row
        return None

    def due(self, now_ms: int, limit: int) -> tuple[Payment, ...]:
        found = (row for row in self._payments if 0 < row.deadline_ms <= now_ms)
        return tuple(sorted(found, key=lambda row: (row.deadline_ms, row.id))[:limit])

    def refund(self, refund: RefundId) -> Refund | None:
        return self._refunds.get(refund)

    def add_refund(self, refund: Refund) -> None:
        self._refunds.add(refund, refund.id)

    def save_refund(self, refund: Refund) -> None:
        self._refunds.save(refund, refund.id)

    def refunds_of(self, contract: ContractId) -> tuple[Refund, ...]:
        found = (row for row in self._refunds if row.contract == contract)
        return tuple(sorted(found, key=lambda row: (row.created_at_ms, row.id)))


def _open(payment: Payment) -> bool:
    return payment.purpose is Purpose.TERM and payment.state in _OPEN


class MemoryLedger:
    """Keeps the port `Ledger`."""

    def __init__(self, journal: Journal) -> None:
        self._transfers: Table[Transfer] = Table(journal)
        self._balances: Table[Balance] = Table(journal)

    def post(self, transfers: tuple[Transfer, ...]) -> None:
        for transfer in transfers:
            self._transfers.add(transfer, transfer.id)
        for account, delta in _net(transfers).items():
            kept = self._balances.get(account.name, account.asset)
            if kept is not None and kept.account.side is not account.side:
                raise Internal(f"{account.name} is kept with another side")
            balance = (kept.balance_minor if kept else 0) + delta
            if balance < 0 and account.floored:
                raise Overdrawn(account=account.name)
            self._balances.put(Balance(account, balance), account.name, account.asset)

    def balance(self, account: LedgerAccount) -> int:
        kept = self._balances.get(account.name, account.asset)
        return kept.balance_minor if kept else 0

    def balances(self, owner: str) -> tuple[Balance, ...]:
        found = (
            row for row in self._balances if not owner or row.account.name.endswith(f"/{owner}")
        )
        return tuple(sorted(found, key=lambda row: (row.account.name, row.account.asset.value)))

    def transfers(self, reference: str) -> tuple[Transfer, ...]:
        return tuple(row for row in self._transfers if row.reference == reference)

    def trial_balance(self) -> tuple[TrialLine, ...]:
        sums: dict[str, TrialLine] = {}
        for row in self._balances:
            asset = row.account.asset
            line = sums.get(asset.value, TrialLine(asset, 0, 0))
            debit = row.balance_minor if row.account.side is Side.DEBIT else 0
            sums[asset.value] = TrialLine(
                asset, line.debit_minor + debit, line.credit_minor + row.balance_minor - debit
            )
        return tuple(sums[name] for name in sorted(sums))

    def differences(self) -> tuple[Balance, ...]:
        rebuilt = _net(tuple(self._transfers))
        return tuple(row for row in self.balances("") if rebuilt[row.account] != row.balance_minor)


def _net(transfers: tuple[Transfer, ...]) -> dict[LedgerAccount, int]:
    deltas: dict[LedgerAccount, int] = {}
    for transfer in transfers:
        for account, side in ((transfer.debit, Side.DEBIT), (transfer.credit, Side.CREDIT)):
            grows = transfer.amount_minor if account.side is side else -transfer.amount_minor
            deltas[account] = deltas.get(account, 0) + grows
    return deltas

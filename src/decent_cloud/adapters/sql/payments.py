"""Payments and refunds in SQL."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.ids import ContractId, PaymentId, RefundId

_PAYMENTS = Rows(Payment, "payments", ("id",))
_REFUNDS = Rows(Refund, "refunds", ("id",))


class SqlPayments:
    """Keeps the port `Payments`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, payment: PaymentId) -> Payment | None:
        return _PAYMENTS.get(self._session, id=payment)

    def add(self, payment: Payment) -> None:
        _PAYMENTS.add(self._session, payment)

    def save(self, payment: Payment) -> None:
        _PAYMENTS.save(self._session, payment)

    def of_contract(self, contract: ContractId) -> tuple[Payment, ...]:
        tail = "WHERE contract = :c ORDER BY created_at_ms, id"
        return _PAYMENTS.all(self._session, tail, {"c": contract})

    def by_external(self, processor: str, external: str) -> Payment | None:
        tail = "WHERE processor = :p AND external = :e AND external <> ''"
        return _PAYMENTS.one(self._session, tail, {"p": processor, "e": external})

    def due(self, now_ms: int, limit: int) -> tuple[Payment, ...]:
        tail = "WHERE deadline_ms > 0 AND deadline_ms <= :now ORDER BY deadline_ms, id LIMIT :limit"
        return _PAYMENTS.all(self._session, tail, {"now": now_ms, "limit": limit})

    def refund(self, refund: RefundId) -> Refund | None:
        return _REFUNDS.get(self._session, id=refund)

    def add_refund(self, refund: Refund) -> None:
        _REFUNDS.add(self._session, refund)

    def save_refund(self, refund: Refund) -> None:
        _REFUNDS.save(self._session, refund)

    def refunds_of(self, contract: ContractId) -> tuple[Refund, ...]:
        tail = "WHERE contract = :c ORDER BY created_at_ms, id"
        return _REFUNDS.all(self._session, tail, {"c": contract})

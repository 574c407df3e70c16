"""Where payments and refunds are kept."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.ids import ContractId, PaymentId, RefundId


class Payments(Protocol):
    """Payments and refunds by id."""

    def get(self, payment: PaymentId) -> Payment | None:
        """Return the payment."""
        ...

    def add(self, payment: Payment) -> None:
        """Store a new payment."""
        ...

    def save(self, payment: Payment) -> None:
        """Replace it if its version is unchanged."""
        ...

    def of_contract(self, contract: ContractId) -> tuple[Payment, ...]:
        """Return a contract's payments, oldest first."""
        ...

    def by_external(self, processor: str, external: str) -> Payment | None:
        """Find a payment by the processor's id."""
        ...

    def due(self, now_ms: int, limit: int) -> tuple[Payment, ...]:
        """Return payments whose deadline has passed, most overdue first."""
        ...

    def refund(self, refund: RefundId) -> Refund | None:
        """Return a refund."""
        ...

    def add_refund(self, refund: Refund) -> None:
        """Store a new refund."""
        ...

    def save_refund(self, refund: Refund) -> None:
        """Replace it if its version is unchanged."""
        ...

    def refunds_of(self, contract: ContractId) -> tuple[Refund, ...]:
        """Return a contract's refunds, oldest first."""
        ...

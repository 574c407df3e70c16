"""How contracts, their money and their history are rendered."""

from __future__ import annotations

from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.views import ContractDetails
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, SealedCredential, Term
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.domain.identity.providers import Delegation
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import ContractState
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.contracts import (
    ContractEvent,
    ContractView,
    CredentialView,
    HistoryEntry,
    PaymentView,
    RefundView,
    TermView,
    TrafficView,
)
from decent_cloud.wire.v1.money import Amount
from decent_cloud.wire.v1.statements import StatementWire


def contract_view(found: ContractDetails) -> ContractView:
    """Render a contract for its tenant or its provider."""
    one = found.contract
    return ContractView(
        id=one.id,
        digest=one.digest,
        state=one.state,
        state_since=rfc3339(one.state_since_ms),
        deadline=_instant(one.deadline_ms),
        waits_for=found.waits_for,
        tenant=one.tenant,
        provider=one.provider,
        offering=one.offering,
        offering_title=one.offering_title,
        pool=one.pool,
        hours=one.hours,
        total=_amount(one.total_minor, one.asset),
        created_at=rfc3339(one.created_at_ms),
        paid_until=_instant(one.paid_until_ms),
        host=one.host,
        port=one.port,
        host_keys=one.host_keys,
        agent_connected=found.agent_connected,
        end_reason=one.end_reason,
        self_rental=one.self_rental,
        order=from_json(one.order, StatementWire),
        terms=tuple(_term(term) for term in found.terms),
        payments=tuple(_payment(payment) for payment in found.payments),
        refunds=tuple(_refund(refund) for refund in found.refunds),
        credential_n=found.credential_n,
    )


def credential_view(
    contract: Contract, found: SealedCredential, delegation: Delegation
) -> CredentialView:
    """Render a sealed credential, which only a device of the tenant can open, and what lets its agent sign it."""
    return CredentialView(
        contract=contract.id,
        provider=contract.provider,
        credential=from_json(found.outer, CredentialWire),
        delegation=from_json(delegation.statement, StatementWire),
    )


def history_entry(row: HistoryRow) -> HistoryEntry:
    """Render one step."""
    return HistoryEntry(
        seq=row.version,
        at=rfc3339(row.at_ms),
        actor=row.actor,
        event=row.event,
        from_state=row.from_state,
        to_state=row.to_state,
        reason=row.reason,
        evidence=row.evidence,
    )


def present_state(contract: Contract) -> ContractEvent:
    """Render where a contract stands, as the first event of its stream."""
    return ContractEvent(
        contract=contract.id,
        state=contract.state,
        event="state",
        at=rfc3339(contract.state_since_ms),
        reason=contract.end_reason,
    )


def contract_event(event: Event) -> ContractEvent:
    """Render one step out of the event log."""
    return ContractEvent(
        contract=event.subject,
        state=ContractState(event.data["state"]),
        event=event.data["event"],
        at=rfc3339(event.at_ms),
        reason=event.data.get("reason", ""),
    )


def _term(term: Term) -> TermView:
    asset = term.asset
    return TermView(
        id=term.id,
        ordinal=term.ordinal,
        hours=term.hours,
        starts_at=_instant(term.from_ms),
        ends_at=_instant(term.to_ms),
        paid=_amount(term.amount_minor if term.paid else 0, asset),
        released=_amount(term.released_minor, asset),
        fee=_amount(term.fee_minor, asset),
        refunded=_amount(term.refunded_minor, asset),
        credited=_amount(term.credited_minor, asset),
        held=_amount(term.held_minor, asset),
        lost=_amount(term.lost_minor, asset),
    )


def _payment(payment: Payment) -> PaymentView:
    return PaymentView(
        id=payment.id,
        processor=payment.processor,
        state=payment.state,
        amount=_amount(payment.amount_minor, payment.asset),
        detail=payment.detail,
    )


def _refund(refund: Refund) -> RefundView:
    return RefundView(
        id=refund.id, state=refund.state, amount=_amount(refund.amount_minor, refund.asset)
    )


def _amount(amount_minor: int, asset: Asset) -> Amount:
    return Amount(amount_minor=str(amount_minor), asset=asset)


def _instant(at_ms: int) -> str | None:
    return rfc3339(at_ms) if at_ms else None


def traffic_view(contract: ContractId, found: Traffic | None) -> TrafficView:
    """Render what a machine received and sent."""
    return TrafficView(
        contract=contract,
        received_bytes=found.received_bytes if found else 0,
        sent_bytes=found.sent_bytes if found else 0,
        since=rfc3339(found.first_ms) if found else None,
        at=rfc3339(found.at_ms) if found else None,
    )

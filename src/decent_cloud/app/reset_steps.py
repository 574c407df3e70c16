"""The one place that moves a reset: lifecycle, record, audit in the contract's history, events."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts import reset as rules
from decent_cloud.domain.contracts.contract import Contract, HistoryRow
from decent_cloud.domain.contracts.reset import OPEN, Reset, ResetEvent
from decent_cloud.kernel.ids import Kid
from decent_cloud.kernel.status import ResetFailure, ResetState, ResetSubject

EVENT_KIND = "contract"
HINT = "reset"
_NAMES = {ResetSubject.PASSWORD: "reset", ResetSubject.SSH_KEYS: "keys"}


def begin(uow: UnitOfWork, reset: Reset, *, actor: str, now_ms: int) -> Reset:
    """Store a new reset, write it down, and wake the pool's agents and both sides."""
    uow.resets.add(reset)
    record(uow, reset, actor=actor, now_ms=now_ms)
    return reset


def advance(
    uow: UnitOfWork,
    reset: Reset,
    event: ResetEvent,
    *,
    actor: str,
    now_ms: int,
    agent: Kid | None = None,
    failure: ResetFailure | None = None,
    detail: str = "",
) -> Reset:
    """Move a reset by one event and write down who did it; return it as stored.

    Errors: IllegalTransition, StaleVersion.
    """
    after = rules.step(reset, event, now_ms, agent=agent, failure=failure, detail=detail)
    stored = save(uow, after)
    record(uow, stored, actor=actor, now_ms=now_ms)
    return stored


def save(uow: UnitOfWork, reset: Reset) -> Reset:
    """Store a reset and return it with its new version."""
    uow.resets.save(reset)
    return replace(reset, version=reset.version + 1)


def end_with(uow: UnitOfWork, contract: Contract, *, now_ms: int) -> None:
    """End what is open of a contract that has ended; the contract's own step says why and who."""
    for reset in uow.resets.of_contract(contract.id):
        if reset.state in OPEN:
            after = rules.step(reset, ResetEvent.CONTRACT_ENDED, now_ms)
            announce(uow, contract, save(uow, after), now_ms)


def record(uow: UnitOfWork, reset: Reset, *, actor: str, now_ms: int, event: str = "") -> None:
    """Append what happened to a reset to its contract's history, and tell everybody whom it concerns.

    `event` is named after the reset's state unless given.
    """
    contract = uow.contracts.get(reset.contract)
    if contract is None:
        return
    row = HistoryRow(
        contract=contract.id,
        version=contract.version + 1,
        at_ms=now_ms,
        actor=actor,
        event=event or event_name(reset.subject, reset.state),
        from_state=contract.state.value,
        to_state=contract.state,
        reason=reset.failure,
        evidence=_evidence(reset),
    )
    uow.contracts.save(contract, row)
    announce(uow, contract, reset, now_ms)


def announce(uow: UnitOfWork, contract: Contract, reset: Reset, now_ms: int) -> None:
    """Write a reset's step to the streams of the contract and both sides, and hint at it in the pool's."""
    data = {
        "state": contract.state.value,
        "event": event_name(reset.subject, reset.state),
        "reason": reset.failure,
    }
    streams = (
        f"contract/{contract.id}",
        f"account/{contract.tenant}",
        f"account/{contract.provider}",
    )
    for stream in dict.fromkeys(streams):
        uow.outbox.append(Event(stream, EVENT_KIND, contract.id, data, now_ms))
    uow.outbox.append(Event(f"pool/{contract.pool}", HINT, contract.id, {}, now_ms))


def event_name(subject: ResetSubject, state: ResetState) -> str:
    """Return what a step to this state is called in histories and on event streams."""
    return f"{_NAMES[subject]}_{state.value}"


def _evidence(reset: Reset) -> str:
    parts: list[str] = [reset.id]
    if reset.n:
        what = "credential" if reset.subject is ResetSubject.PASSWORD else "key list"
        parts.append(f"{what} {reset.n}")
    if reset.detail:
        parts.append(reset.detail)
    return ", ".join(parts)

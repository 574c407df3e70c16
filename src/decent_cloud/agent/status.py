"""What the agent's journal says about itself, for people and programs; works while an agent runs."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.agent.backend import handle_text
from decent_cloud.agent.journal import (
    LAST_CONTACT_MS,
    LOG_SEQ,
    PLATFORM_ID,
    PLATFORM_ORIGIN,
    POOL,
    PROVIDER,
    SCOPE,
    Journal,
)
from decent_cloud.agent.records import Alarm, Instance, Quarantined, Report, Stage, Want
from decent_cloud.kernel.clock import rfc3339


@dataclass(frozen=True, slots=True)
class InstanceLine:
    """One contract's machine."""

    contract: str
    stage: str
    wanted: str
    named: bool
    machine: str
    address: str
    paid_until: str
    tries: int
    next_try: str
    last_error: str
    note: str


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One report that the platform has not acknowledged."""

    contract: str
    key: str
    since: str
    tries: int
    refused: bool
    last_error: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that `dc-agent status` shows."""

    agent: str
    now_ms: int
    platform: str
    platform_id: str
    provider: str
    pool: str
    backend: str
    log_seq: int
    last_contact: str
    instances: tuple[InstanceLine, ...]
    reports: tuple[ReportLine, ...]
    quarantine: tuple[Quarantined, ...]
    alarms: tuple[Alarm, ...]


def read_status(journal: Journal, agent: str, now_ms: int, *, ended_too: bool = False) -> Status:
    """Return the journal's state; `agent` is our kid."""
    wants = {want.contract: want for want in journal.wants()}
    return Status(
        agent=agent,
        now_ms=now_ms,
        platform=journal.fact(PLATFORM_ORIGIN),
        platform_id=journal.fact(PLATFORM_ID),
        provider=journal.fact(PROVIDER),
        pool=journal.fact(POOL),
        backend=journal.fact(SCOPE),
        log_seq=int(journal.fact(LOG_SEQ) or 0),
        last_contact=_time(int(journal.fact(LAST_CONTACT_MS) or 0)),
        instances=tuple(
            _instance(each, wants.get(each.contract))
            for each in journal.instances()
            if ended_too or each.stage is not Stage.ENDED
        ),
        reports=tuple(_report(each) for each in journal.reports()),
        quarantine=journal.quarantined(),
        alarms=journal.alarms(),
    )


def _instance(each: Instance, want: Want | None) -> InstanceLine:
    return InstanceLine(
        contract=each.contract,
        stage=each.stage.value,
        wanted=want.desired.value if want else "unknown",
        named=want is not None and want.named,
        machine=handle_text(each.handle),
        address=f"{each.host}:{each.port}" if each.host else "",
        paid_until=_time(want.paid_until_ms) if want else "",
        tries=each.tries,
        next_try=_time(each.next_try_ms),
        last_error=each.last_error,
        note=each.note,
    )


def _report(each: Report) -> ReportLine:
    return ReportLine(
        each.contract,
        each.key,
        _time(each.created_at_ms),
        each.tries,
        each.refused,
        each.last_error,
    )


def _time(at_ms: int) -> str:
    return rfc3339(at_ms) if at_ms else ""

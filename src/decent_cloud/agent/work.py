"""What all steps of the work on a contract share: the things they act on, and how they journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from decent_cloud.agent import steps
from decent_cloud.agent.backend import Backend, handle_text
from decent_cloud.agent.backoff import Backoff
from decent_cloud.agent.desired import DesiredState
from decent_cloud.agent.journal import Journal
from decent_cloud.agent.lease import LeaseKeeper
from decent_cloud.agent.orders import Orders
from decent_cloud.agent.records import Alarm, Attempt, Change, Instance, Quarantined, Report, Stage
from decent_cloud.agent.report import Reporter
from decent_cloud.agent.seal import Vault
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.agent.situation import Standing, Us
from decent_cloud.client.agents import AgentApi
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.drivers.contract import Handle
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.ids import AccountId, ContractId, Ids
from decent_cloud.kernel.status import ProvisionFailure
from decent_cloud.wire.v1.assignments import (
    FailedReport,
    ProvisioningReport,
    QuarantinedReport,
    TerminatedReport,
)
from decent_cloud.wire.v1.first_scripts import LogWire

_log = structlog.get_logger("dc-agent")

MAX_DETAIL = 400


@dataclass(frozen=True, slots=True)
class Work:
    """One agent's things; `refetch` asks the loop for a fresh desired state."""

    settings: AgentSettings
    api: AgentApi
    journal: Journal
    backend: Backend
    desired: DesiredState
    keeper: LeaseKeeper
    vault: Vault
    orders: Orders
    reporter: Reporter
    backoff: Backoff
    keys: DeviceKeys
    provider: AccountId
    platform_id: str
    clock: Clock
    ids: Ids
    on_step: steps.OnStep
    refetch: Callable[[], None]

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def us(self) -> Us:
        """Return who plans."""
        backend = self.backend
        return Us(self.keys.kid, backend.scope, backend.can_stop, self.settings.read_lag_ms)

    def instance(self, contract: ContractId) -> Instance:
        """Return the journalled instance, or one that was only seen."""
        found = self.journal.instance(contract)
        return found or Instance(contract, Stage.SEEN, self.now_ms())

    def move(
        self,
        instance: Instance,
        stage: Stage,
        *,
        attempt: Attempt | None = None,
        reports: tuple[Report, ...] = (),
        acknowledged: tuple[str, ...] = (),
        quarantined: tuple[Quarantined, ...] = (),
        flush: bool = True,
    ) -> Instance:
        """Journal that a step is done; the back-off of the step before ends."""
        moved = replace(
            instance,
            stage=stage,
            updated_at_ms=self.now_ms(),
            tries=0,
            next_try_ms=0,
            retry_for="",
            last_error="",
        )
        self.journal.commit(
            Change(
                moved,
                attempt=attempt,
                reports=reports,
                acknowledged=acknowledged,
                quarantined=quarantined,
                frees_port=stage in {Stage.GONE, Stage.ENDED, Stage.FAILED},
                flush=flush,
            )
        )
        if stage is not instance.stage:
            _log.info("stage", contract=instance.contract, stage=stage.value, note=moved.note)
        return moved

    def wait(self, instance: Instance, pause_ms: int) -> None:
        """Journal when to look again; not a failure, and a change of what is wanted ends it."""
        want = self.desired.want(instance.contract)
        self.journal.commit(
            Change(
                replace(
                    instance,
                    next_try_ms=self.now_ms() + pause_ms,
                    retry_for=want.desired.value if want else "",
                )
            )
        )

    def report(self, key: str, contract: ContractId, body: ProvisioningReport) -> Report:
        """Return a report to keep until it is acknowledged."""
        return Report(f"{contract}-{key}", contract, codec.to_json(body).decode(), self.now_ms())

    def fail(
        self,
        instance: Instance,
        reason: ProvisionFailure,
        detail: str,
        *,
        left_behind: str = "",
        log: LogWire | None = None,
    ) -> None:
        """Journal that the machine cannot be made, and the report of it."""
        body = FailedReport(
            fence=instance.fence,
            reason=reason,
            detail=detail[:MAX_DETAIL],
            left_behind=left_behind,
            log=log,
        )
        report = self.report(f"failed-{instance.fence}", instance.contract, body)
        self.move(replace(instance, note=detail[:MAX_DETAIL]), Stage.FAILED, reports=(report,))
        self.on_step(steps.REPORT_JOURNALLED)

    def gone(self, instance: Instance, detail: str) -> None:
        """Journal that a read of the same backend said gone; told unless another agent has the work."""
        body = TerminatedReport(scope=instance.scope, detail=detail[:MAX_DETAIL])
        report = self.report(f"gone-{instance.fence}", instance.contract, body)
        self.move(
            replace(instance, handle=None, note=detail[:MAX_DETAIL]),
            Stage.GONE,
            reports=() if instance.lost else (report,),
        )
        self.on_step(steps.GONE_JOURNALLED)

    def set_aside(self, contract: ContractId, handle: Handle | None, why: str) -> None:
        """Quarantine a machine that is none of this contract's; it is told once."""
        text = handle_text(handle)
        found = Quarantined(contract, text, why, self.now_ms())
        if self.journal.quarantine(found):
            self.alarm(f"quarantine:{contract}", f"{text}: {why}")
            self.on_step(steps.QUARANTINE_JOURNALLED)

    def quarantine_report(self, instance: Instance, why: str) -> Report:
        """Return what to tell about a machine of our own that must not be used."""
        body = QuarantinedReport(
            scope=instance.scope, instance=handle_text(instance.handle), detail=why[:MAX_DETAIL]
        )
        return self.report(f"quarantine-{instance.fence}", instance.contract, body)

    def alarm(self, name: str, text: str) -> None:
        """Raise an alarm for people."""
        self.journal.raise_alarm(Alarm(name, text[:MAX_DETAIL], self.now_ms()))

    def may_report(self) -> bool:
        """Whether the platform may be told things: never one that is not trusted."""
        return self.desired.standing is not Standing.DISTRUSTED

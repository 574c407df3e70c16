"""Carries out one contract's next steps, one after the other; what fails there stays there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from decent_cloud.agent.adopting import Adopting
from decent_cloud.agent.breaker import Breaker
from decent_cloud.agent.ending import Ending
from decent_cloud.agent.journal import JournalBroken, JournalFull
from decent_cloud.agent.lease import LEASE_LOST
from decent_cloud.agent.making import Making
from decent_cloud.agent.plan import begins_removal, next_step
from decent_cloud.agent.records import Change, Instance, Report, Stage
from decent_cloud.agent.resetting import Resetting
from decent_cloud.agent.situation import Do, Rest, Situation, Step
from decent_cloud.agent.work import Work
from decent_cloud.client.errors import ApiProblem
from decent_cloud.drivers.contract import DriverError
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Desired, Observed
from decent_cloud.wire.v1.assignments import ProvisionedReport, ProvisioningReport, ReportAnswer

_log = structlog.get_logger("dc-agent")

MAX_STEPS = 40  # in one go; then others have their turn
GIVE_BACK_AFTER_TRIES = 3
DISK_PAUSE_MS = 5_000


class Actor:
    """Runs steps; one contract is worked on by one thread at a time, which the loop sees to."""

    def __init__(self, work: Work) -> None:
        self.draining = threading.Event()
        self._work = work
        self._adopting = Adopting(work)
        self._making = Making(work, self._adopting)
        self._ending = Ending(work, self._making, self._adopting)
        self._resetting = Resetting(work)
        self.breaker = Breaker(work.journal, self._removals)
        self._paused_ms: dict[ContractId, int] = {}  # while the journal cannot be written
        self._steps: dict[Do, Callable[[ContractId], None]] = {
            Do.SEND_REPORTS: self._send_reports,
            Do.TAKE_LEASE: self._making.take_lease,
            Do.KEEP_LEASE: self._making.keep_lease,
            Do.ADOPT: self._ending.adopt_bound,
            Do.PREPARE: self._making.prepare,
            Do.START_CREATE: self._making.start_create,
            Do.CREATE: self._making.create,
            Do.LOOK_UP: self._ending.look_up,
            Do.INSPECT: self._ending.inspect,
            Do.START: self._ending.start,
            Do.STOP: self._ending.stop,
            Do.TELL_HEALTH: self._ending.tell_health,
            Do.RESET: self._resetting.step,
            Do.RECLAIM: self._ending.reclaim,
            Do.DESTROY: self._ending.destroy,
            Do.CONFIRM_GONE: self._ending.confirm_gone,
            Do.DROP: self._ending.drop,
        }

    def situation(self, contract: ContractId) -> Situation:
        """Return everything the plan needs to know about a contract."""
        w = self._work
        instance = w.journal.instance(contract)
        return Situation(
            now_ms=w.now_ms(),
            standing=w.desired.standing,
            us=w.us(),
            want=w.desired.want(contract),
            instance=instance,
            sight=w.backend.sight(contract),
            lease_held=instance is not None and w.keeper.holds(contract, instance.fence),
            secrets_held=instance is not None and w.vault.get(instance.attempt) is not None,
            report_due_ms=w.reporter.due_ms(contract),
            halted=self.breaker.holds(),
        )

    def _removals(self) -> frozenset[ContractId]:
        """Return whose next step is a removal that the circuit breaker counts."""
        w = self._work
        known = {each.contract for each in w.journal.instances()} | w.desired.contracts()
        return frozenset(each for each in known if begins_removal(self.situation(each)))

    def work(self, contract: ContractId) -> int:
        """Do what can be done now; return when (ms) to come back."""
        paused_ms = self._paused_ms.get(contract, 0)
        if self._work.now_ms() < paused_ms:
            return paused_ms
        for _ in range(MAX_STEPS):
            if self.draining.is_set():
                break
            try:
                situation = self.situation(contract)
                step = next_step(situation)
                if isinstance(step, Rest):
                    return step.until_ms
                if self._admitted(step, situation, contract):
                    self._take(step, contract)
            except (JournalFull, JournalBroken) as error:
                return self._disk(contract, error)
            except Exception as error:  # noqa: BLE001 - a loop's edge: one contract's trouble stays its own
                try:
                    self._failed(contract, error)
                except (JournalFull, JournalBroken) as worse:
                    return self._disk(contract, worse)
        return self._work.now_ms()

    def _admitted(self, step: Step, situation: Situation, contract: ContractId) -> bool:
        """Ask the circuit breaker before a removal that it counts."""
        removes = step.do is Do.BEGIN_DESTROY and begins_removal(situation)
        return not removes or self.breaker.admit(contract, situation.now_ms)

    def _take(self, step: Step, contract: ContractId) -> None:
        _log.debug("step", contract=contract, do=step.do.value, why=step.why)
        if step.do is Do.BEGIN_DESTROY:
            _log.info("destroying", contract=contract, why=step.why)
            self._resetting.forget(contract)
            self._ending.begin_destroy(contract, step)
        else:
            self._steps[step.do](contract)

    def _failed(self, contract: ContractId, error: Exception) -> None:
        """Journal the back-off; work that the backend does not let us begin goes back to the pool."""
        w = self._work
        instance = w.instance(contract)
        tries = instance.tries + 1
        known = isinstance(error, DecentError)
        code = error.code if isinstance(error, DecentError) else type(error).__name__
        _log.log(
            30 if known else 40,
            "step failed",
            contract=contract,
            stage=instance.stage.value,
            code=code,
            error=str(error)[:300],
            exc_info=None if known else error,
        )
        early = instance.stage in {Stage.LEASED, Stage.PREPARED} and instance.handle is None
        if early and isinstance(error, DriverError) and tries >= GIVE_BACK_AFTER_TRIES:
            w.keeper.drop(contract)
            instance = replace(instance, stage=Stage.SEEN)
        self._back_off(instance, tries, code, error)

    def _back_off(self, instance: Instance, tries: int, code: str, error: Exception) -> None:
        w = self._work
        want = w.desired.want(instance.contract)
        next_ms = w.now_ms() + w.backoff.pause_ms(tries, error)
        if isinstance(error, ApiProblem) and error.code == "lease_taken" and want is not None:
            # Politely refused: nothing is wrong, ask again when the other's lease may be over.
            next_ms = max(next_ms, min(want.lease_expires_ms, next_ms + 60_000))
        w.journal.commit(
            Change(
                replace(
                    instance,
                    updated_at_ms=w.now_ms(),
                    tries=tries,
                    next_try_ms=next_ms,
                    retry_for=want.desired.value if want else "",
                    last_error=f"{code}: {error}"[:300],
                )
            )
        )

    def _disk(self, contract: ContractId, error: DecentError) -> int:
        """The journal cannot be written: nothing is begun that it would not remember."""
        _log.error("journal", contract=contract, code=error.code, error=error.message)
        self._paused_ms[contract] = self._work.now_ms() + DISK_PAUSE_MS
        return self._paused_ms[contract]

    def _send_reports(self, contract: ContractId) -> None:
        w = self._work
        w.reporter.send(contract, w.now_ms(), self._acknowledged, self._refused)

    def _acknowledged(self, report: Report, answer: ReportAnswer) -> None:
        w = self._work
        instance = w.instance(report.contract)
        stage = instance.stage
        if _is_up(report) and stage is Stage.REPORTING:
            stage = Stage.BOUND
            instance = replace(instance, bound=True, health=Observed.RUNNING)
            w.vault.drop(instance.attempt)
        w.move(instance, stage, acknowledged=(report.key,))
        if stage not in {Stage.LEASED, Stage.PREPARED, Stage.STARTED, Stage.CREATED}:
            w.keeper.drop(report.contract)
        want = w.desired.want(report.contract)
        if want is None or answer.desired is not want.desired or answer.desired is Desired.ABSENT:
            w.refetch()

    def _refused(self, report: Report, error: DecentError) -> None:
        """The platform will never take it: keep it for people, and set aside what it was about."""
        w = self._work
        w.journal.keep_report(
            replace(report, tries=report.tries + 1, refused=True, last_error=error.message[:300])
        )
        w.alarm(f"report_refused:{report.key}", f"the platform refused a report: {error.message}")
        instance = w.instance(report.contract)
        told_up = _is_up(report) and instance.stage is Stage.REPORTING
        told_failed = instance.stage is Stage.FAILED and error.code == LEASE_LOST
        if told_up or told_failed:
            self._adopting.lost(instance, error)
        w.refetch()


def _is_up(report: Report) -> bool:
    body: ProvisioningReport = codec.from_json(report.body, ProvisioningReport)  # type: ignore[arg-type]
    return isinstance(body, ProvisionedReport)

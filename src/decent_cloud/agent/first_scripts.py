"""First scripts: run at most once in a machine that is up, followed to their end, their log sealed to the tenant.

What marks that one was begun lies in the machine itself, so every call may be repeated: after a crash of this
process, or an answer that was lost, the next call only asks how it stands. The log is journalled sealed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import structlog

from decent_cloud.agent import steps
from decent_cloud.agent.management import management_key
from decent_cloud.agent.records import FirstScript, Instance
from decent_cloud.agent.seal import Door
from decent_cloud.agent.work import Work
from decent_cloud.client.statements import log_to_wire
from decent_cloud.domain.keys.credentials import Subject
from decent_cloud.domain.keys.logs import MAX_DETAIL, MAX_OUTPUT_BYTES, ScriptLog, seal_log
from decent_cloud.drivers.contract import (
    CanRunFirst,
    DriverError,
    FirstRun,
    Rejected,
    RunState,
    TryLater,
)
from decent_cloud.drivers.parts.guest_ssh import GuestDoor, run_first
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.status import OnScriptFailure, ScriptOutcome
from decent_cloud.wire.v1.agents import AssignmentView
from decent_cloud.wire.v1.first_scripts import FirstScriptView

_log = structlog.get_logger("dc-agent")

GRACE_MS = 2 * MINUTE_MS  # beyond the script's own time: for machines that let us in late, or never
_LONGEST_PAUSE_MS = 2_000


class FirstScripts:
    """One step a call; the machine says what the next one is."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def over(self, instance: Instance, door: Door) -> Instance | None:
        """Go on with the script of a machine that is up; return the instance once nothing is left to do.

        None: it runs, look again. Errors: the driver's that a later try may end, for a while.
        """
        w = self._work
        if instance.first is None or instance.first.log:
            return instance
        assignment = w.desired.assignment(instance.contract)
        shown = assignment.terms.first_script if assignment else None
        if assignment is None or shown is None:
            raise TryLater("the order is not at hand; waiting for the platform", after_s=1)
        first = instance.first
        if not first.begun_ms:
            first = FirstScript(w.now_ms())
            instance = w.move(replace(instance, first=first), instance.stage)
            w.on_step(steps.FIRST_JOURNALLED)
        spent_ms = max(0, w.now_ms() - first.begun_ms)
        late = spent_ms > shown.timeout_s * SECOND_MS + GRACE_MS
        state = self._state(instance, assignment, door, late=late)
        if state.outcome is not None:
            return self._sealed(instance, shown, state)
        w.wait(instance, min(_LONGEST_PAUSE_MS, 200 + spent_ms // 4))
        return None

    def load(self, assignment: AssignmentView) -> FirstRun | None:
        """Return the verified script of a contract whose order was verified; None where it has none.

        Errors: OrderRefused; whatever the platform's answers raise.
        """
        w = self._work
        if assignment.terms.first_script is None:
            return None
        w.on_step(steps.FIRST_TEXT_ASKED)
        script = w.orders.first_script(assignment)
        w.on_step(steps.FIRST_TEXT_ANSWERED)
        return script

    def _state(
        self, instance: Instance, assignment: AssignmentView, door: Door, *, late: bool
    ) -> RunState:
        """Ask the machine; an end that never comes is one too."""
        w = self._work
        made = w.vault.get(instance.attempt)
        script = made.first if made is not None else None
        if script is None:
            w.orders.verify(
                assignment, w.now_ms()
            )  # another process of ours did; this one must too
            script = self.load(assignment)
        if script is None:
            raise TryLater("the script is not at hand; waiting for the platform", after_s=1)
        w.on_step(steps.FIRST_CALLED)
        try:
            state = self._run(instance, assignment, door, script)
        except Rejected as error:
            return RunState(ScriptOutcome.NOT_RUN, detail=error.message)
        except DriverError as error:
            if not late:
                raise
            return RunState(ScriptOutcome.INTERRUPTED, detail=f"no word of it: {error.message}")
        w.on_step(steps.FIRST_ANSWERED)
        if state.outcome is None and late:
            return RunState(ScriptOutcome.INTERRUPTED, detail="it did not end in time")
        return state

    def _run(
        self, instance: Instance, assignment: AssignmentView, door: Door, script: FirstRun
    ) -> RunState:
        """Let the backend do it, or do it over SSH with the management key."""
        w = self._work
        if instance.handle is None:
            raise TryLater("no machine is known")
        if isinstance(w.backend.driver, CanRunFirst):
            return w.backend.run_first(instance.handle, instance.contract, script)
        if not assignment.terms.management_key:
            name = w.backend.description.name
            raise Rejected(
                f"the driver {name} runs no scripts, and the terms allow no management key"
            )
        attempt = w.journal.attempt(instance.attempt)
        if attempt is None or not door.host:
            raise TryLater("the machine's address is not known yet", after_s=1)
        way = GuestDoor(door.host, door.port, attempt.host_key)
        return run_first(way, management_key(Path(w.settings.data_dir)), door.user, script)

    def _sealed(self, instance: Instance, shown: FirstScriptView, state: RunState) -> Instance:
        """Journal the log as only the tenant can open it."""
        w = self._work
        want = w.desired.want(instance.contract)
        if want is None or state.outcome is None or instance.first is None:
            raise TryLater("the contract is not at hand; waiting for the platform", after_s=1)
        log = ScriptLog(
            script=Digest(shown.sha256),
            outcome=state.outcome,
            exit_code=state.exit_code,
            output=state.output[-MAX_OUTPUT_BYTES:],
            detail=state.detail[:MAX_DETAIL],
        )
        subject = Subject(want.tenant, w.provider, want.digest, want.next_n)
        sealed = seal_log(subject, log, w.keys, w.orders.chain(want.tenant).generation)
        fails = shown.on_failure is OnScriptFailure.FAIL and not log.succeeded
        first = replace(
            instance.first, log=codec.to_json(log_to_wire(sealed)).decode(), fails=fails
        )
        _log.info("first script over", contract=instance.contract)  # how, the tenant reads alone
        moved = w.move(replace(instance, first=first), instance.stage)
        w.on_step(steps.FIRST_LOG_JOURNALLED)
        return moved

"""What becomes of machines that are found: ours, nobody's, or of work that went to another agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decent_cloud.agent import steps
from decent_cloud.agent.backend import alive, handle_text, same
from decent_cloud.agent.records import Instance, Quarantined, Stage
from decent_cloud.agent.work import Work
from decent_cloud.drivers.contract import Observation
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.status import ProvisionFailure
from decent_cloud.wire.v1.assignments import FailedReport


class Adopting:
    """Takes machines as ours by the attempt that made them, or sets them aside."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def adopt(self, instance: Instance, found: Sequence[Observation]) -> None:
        """Take the contract's machine as ours: the journalled one, else of a known attempt, else the oldest.

        Others are set aside. One of unknown secrets that was never bound cannot be handed over.
        """
        w = self._work
        chosen = next((each for each in found if same(each.handle, instance.handle)), None)
        chosen = chosen or next((each for each in found if self.knows(each)), found[0])
        for other in found:
            if other is not chosen:
                w.set_aside(instance.contract, other.handle, "a second machine of one contract")
        if not self.knows(chosen) and not instance.bound:
            self.unknown(instance, chosen)
            return
        attempt = w.journal.attempt(chosen.attempt)
        adopted = replace(
            instance,
            handle=chosen.handle,
            attempt=chosen.attempt,
            scope=chosen.scope,
            host=chosen.host,
            port=chosen.port or (attempt.port if attempt else 0),
            created_at_ms=w.now_ms(),
        )
        before_leave = instance.stage in {Stage.LEASED, Stage.PREPARED}
        w.move(adopted, Stage.PREPARED if before_leave else Stage.CREATED)
        w.on_step(steps.HANDLE_JOURNALLED)

    def knows(self, seen: Observation) -> bool:
        """Whether one of our own attempts made this machine."""
        attempt = self._work.journal.attempt(seen.attempt) if seen.attempt else None
        return attempt is not None and attempt.contract == seen.contract

    def unknown(self, instance: Instance, seen: Observation) -> None:
        """Fail the contract, and set aside what cannot be handed over."""
        w = self._work
        why = "a machine with this contract's tag whose secrets nobody here knows"
        text = handle_text(seen.handle)
        body = FailedReport(
            fence=instance.fence,
            reason=ProvisionFailure.UNKNOWN_RESOURCE,
            detail=why,
            left_behind=text,
        )
        report = w.report(f"failed-{instance.fence}", instance.contract, body)
        found = Quarantined(instance.contract, text, why, w.now_ms())
        w.move(replace(instance, note=why), Stage.FAILED, reports=(report,), quarantined=(found,))
        w.alarm(f"quarantine:{instance.contract}", f"{text}: {why}")
        w.on_step(steps.QUARANTINE_JOURNALLED)

    def lost(self, instance: Instance, error: DecentError) -> None:
        """Another agent has the work: set aside and tell what we made, forget nothing."""
        w = self._work
        w.keeper.drop(instance.contract)
        w.refetch()
        if instance.handle is None and instance.create_called_ms:
            found = alive(w.backend.look_up(instance.contract))
            ours = [each for each in found if self.knows(each)]
            if ours:
                instance = replace(instance, handle=ours[0].handle, attempt=ours[0].attempt)
        if instance.handle is None and not instance.create_called_ms:
            w.move(instance, Stage.SEEN)
            return
        self._release_others(instance)
        why = f"the work went to another agent ({error.code})"
        lost = replace(instance, lost=True, note=why)
        if lost.handle is None:
            w.move(lost, Stage.QUARANTINED)
            return
        aside = Quarantined(lost.contract, handle_text(lost.handle), why, w.now_ms())
        report = w.quarantine_report(lost, why)
        w.move(lost, Stage.QUARANTINED, reports=(report,), quarantined=(aside,))
        w.alarm(f"quarantine:{lost.contract}", why)
        w.on_step(steps.QUARANTINE_JOURNALLED)

    def _release_others(self, instance: Instance) -> None:
        """What was set aside before we knew that the work is another's is that agent's machine."""
        journal = self._work.journal
        for aside in journal.quarantined():
            if aside.contract == instance.contract and aside.instance != handle_text(
                instance.handle
            ):
                journal.release(aside)
        journal.clear_alarm(f"quarantine:{instance.contract}")

"""The steps on machines that exist: watch, start, stop, destroy until a read says gone, clean up."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.agent import steps
from decent_cloud.agent.adopting import Adopting
from decent_cloud.agent.backend import alive, same
from decent_cloud.agent.making import Making
from decent_cloud.agent.records import Instance, Stage
from decent_cloud.agent.situation import Step, passed
from decent_cloud.agent.work import Work
from decent_cloud.drivers.contract import Observation, TryLater
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed
from decent_cloud.wire.v1.assignments import HealthReport

ALARM_OTHER_SCOPE = "read_from_another_backend"
_POLL_MS = 1_000


class Ending:
    """One method a step; each may raise, and then nothing of it is journalled but what it says."""

    def __init__(self, work: Work, making: Making, adopting: Adopting) -> None:
        self._work = work
        self._making = making
        self._adopting = adopting

    def adopt_bound(self, contract: ContractId) -> None:
        """Take back a machine that the platform has bound to us and our journal does not know."""
        w = self._work
        want = w.desired.want(contract)
        found = alive(w.backend.look_up(contract))
        if not found or want is None:
            raise TryLater("the machine that is bound to us is not to be seen", after_s=60)
        keep = found[0]
        for other in found[1:]:
            w.set_aside(contract, other.handle, "a second machine of one contract")
        fresh = Instance(
            contract,
            Stage.BOUND,
            w.now_ms(),
            fence=want.fence,
            attempt=keep.attempt,
            scope=keep.scope,
            handle=keep.handle,
            host=keep.host,
            port=keep.port,
            bound=True,
        )
        w.move(fresh, Stage.BOUND)
        w.backend.note(keep)

    def look_up(self, contract: ContractId) -> None:
        """Find out whether a machine exists that we have no handle of."""
        w = self._work
        instance = w.instance(contract)
        found = w.backend.look_up(contract)
        if instance.lost:
            found = tuple(each for each in found if self._adopting.knows(each))
        here = alive(found)
        if here and instance.stage is Stage.STARTED:
            self._adopting.adopt(instance, here)
            return
        if here:
            w.move(replace(instance, handle=here[0].handle, scope=here[0].scope), instance.stage)
            w.on_step(steps.HANDLE_JOURNALLED)
            return
        since_ms = abs(w.now_ms() - instance.create_called_ms)
        pause_ms = max(50, min(2_000, w.settings.read_lag_ms - since_ms, 1 + since_ms))
        if found:  # on its way out: not gone yet
            w.wait(instance, _POLL_MS)
        else:
            w.wait(replace(instance, empties=instance.empties + 1), pause_ms)

    def inspect(self, contract: ContractId) -> None:
        """Read the machine and journal what follows from that."""
        w = self._work
        instance = w.instance(contract)
        if instance.handle is None:
            raise TryLater("no machine is known")
        seen = w.backend.inspect(instance.handle, contract)
        if instance.stage in {Stage.STARTED, Stage.CREATED}:
            self._making.created(instance, seen)
        elif seen.state is Observed.ABSENT:
            self._not_seen(instance, seen)
        elif instance.stage is Stage.DESTROYING and seen.state is not Observed.DELETING:
            w.move(replace(instance, note=""), Stage.BOUND)
        elif instance.absent_since_ms:
            w.move(replace(instance, absent_since_ms=0), instance.stage)
        else:
            w.wait(instance, _POLL_MS)

    def _not_seen(self, instance: Instance, seen: Observation) -> None:
        w = self._work
        if seen.scope != instance.scope:
            w.alarm(ALARM_OTHER_SCOPE, f"another backend answers for {instance.contract}")
            w.wait(instance, w.settings.poll_s * 1_000)
        elif instance.stage is Stage.DESTROYING:
            w.gone(instance, "removed")
        elif not instance.absent_since_ms:
            w.move(replace(instance, absent_since_ms=w.now_ms()), instance.stage)
        elif passed(instance.absent_since_ms, w.settings.read_lag_ms, w.now_ms()):
            w.gone(instance, "the machine is gone and we did not remove it")
        else:
            w.wait(instance, w.settings.read_lag_ms)

    def start(self, contract: ContractId) -> None:
        """Start a machine that should run."""
        w = self._work
        instance = w.instance(contract)
        if instance.handle is not None:
            seen = w.backend.start(instance.handle, contract)
            self._pause_unless(instance, seen.state is Observed.RUNNING)

    def stop(self, contract: ContractId) -> None:
        """Stop a machine that should not run."""
        w = self._work
        instance = w.instance(contract)
        handle = instance.handle or w.backend.sight(contract).handle
        if handle is not None:
            seen = w.backend.stop(handle, contract)
            self._pause_unless(instance, seen.state is Observed.STOPPED)

    def _pause_unless(self, instance: Instance, done: bool) -> None:
        """A machine that does not obey is asked again, later each time."""
        w = self._work
        tries = 0 if done else instance.tries + 1
        if tries:
            w.wait(replace(instance, tries=tries), w.backoff.pause_ms(tries))
        elif instance.tries:
            w.move(instance, instance.stage)

    def tell_health(self, contract: ContractId) -> None:
        """Tell the platform a change of what the backend says."""
        w = self._work
        instance, sight = w.instance(contract), w.backend.sight(contract)
        if sight.state is Observed.UNKNOWN:
            return
        body = HealthReport(observed=sight.state, scope=sight.scope, observed_at_ms=sight.at_ms)
        w.api.health(contract, body)
        w.move(replace(instance, health=sight.state), instance.stage)

    def reclaim(self, contract: ContractId) -> None:
        """Begin to remove what is bound to us, unwanted, and not in our journal."""
        w = self._work
        want = w.desired.want(contract)
        fence = want.fence if want else 0
        fresh = Instance(
            contract,
            Stage.DESTROYING,
            w.now_ms(),
            fence=fence,
            scope=w.backend.scope,
            create_called_ms=w.now_ms(),
        )
        w.move(fresh, Stage.DESTROYING)
        w.on_step(steps.DESTROY_JOURNALLED)

    def begin_destroy(self, contract: ContractId, step: Step) -> None:
        """Journal that the machine is to go, and why; only then is the backend asked."""
        w = self._work
        instance = w.instance(contract)
        w.keeper.drop(contract)
        w.vault.drop(instance.attempt)
        w.move(replace(instance, note=step.why, empties=0), Stage.DESTROYING)
        w.on_step(steps.DESTROY_JOURNALLED)

    def destroy(self, contract: ContractId) -> None:
        """Ask for removal, or see how far it is; done when the same backend says gone."""
        w = self._work
        instance = w.instance(contract)
        if instance.handle is None:
            raise TryLater("no machine is known")
        if w.backend.sight(contract).state is Observed.DELETING:
            seen = w.backend.inspect(instance.handle, contract)
        else:
            seen = w.backend.destroy(instance.handle, contract)
        if seen.state is not Observed.ABSENT:
            w.wait(instance, min(_POLL_MS, 100 + abs(w.now_ms() - instance.updated_at_ms) // 4))
            return
        if seen.scope != instance.scope:
            w.alarm(ALARM_OTHER_SCOPE, f"another backend answers for {contract}")
            raise TryLater("another backend answers: that proves nothing", after_s=30)
        self._gone_unless_more(instance)

    def _gone_unless_more(self, instance: Instance) -> None:
        """Nothing of an ended contract may stay: not a second machine either."""
        w = self._work
        found = alive(w.backend.look_up(instance.contract))
        if instance.lost:
            found = [each for each in found if self._adopting.knows(each)]
        more = [each for each in found if not same(each.handle, instance.handle)]
        if more:
            w.move(replace(instance, handle=more[0].handle), Stage.DESTROYING)
            return
        w.gone(instance, instance.note or "removed")

    def confirm_gone(self, contract: ContractId) -> None:
        """After empty look-ups: make sure that it was our backend that was empty."""
        instance = self._work.instance(contract)
        self._making.same_backend(instance)
        self._gone_unless_more(instance)

    def drop(self, contract: ContractId) -> None:
        """Nothing exists and nothing is owed: the work is over."""
        w = self._work
        instance = w.instance(contract)
        w.keeper.drop(contract)
        w.vault.drop(instance.attempt)
        w.backend.forget(contract)
        w.move(instance, Stage.ENDED)

"""Decides what to do next for a contract: pure, from what is wanted, seen, journalled, and the time.

Two rules stand above all others. Nothing is stopped or destroyed on absence of evidence: that needs
the platform's trusted word for this contract, or paid time that ended long ago under a platform that
is silent. And a platform that is not trusted is not obeyed at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from decent_cloud.agent.records import MAKING, MAY_EXIST, Instance, Stage, Want
from decent_cloud.agent.situation import (
    NEVER_MS,
    Do,
    Rest,
    Situation,
    Standing,
    Step,
    due,
    passed,
)
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import AssignmentState, Desired, Observed

SILENT_STOP_MS = 24 * HOUR_MS
SILENT_DESTROY_MS = 7 * DAY_MS
SILENT_DESTROY_RENEWING_MS = 30 * DAY_MS
TAKE_OVER_MS = 15 * MINUTE_MS  # as the platform has it: a slow create may still be under way
_BEGUN = frozenset({AssignmentState.CREATE_STARTED, AssignmentState.BOUND})
FULL_PAUSE_MS = 50  # before those are looked at that did not fit into a pass
HALTED_PAUSE_MS = MINUTE_MS
_REMOVING = frozenset({Do.BEGIN_DESTROY, Do.DESTROY})


def next_step(s: Situation) -> Step | Rest:
    """Return the one next step for a contract, or until when there is none."""
    step = _unhalted_step(s)
    if s.halted and isinstance(step, Step) and unbacked(s, step):
        return Rest(s.now_ms + HALTED_PAUSE_MS)
    return step


def unbacked(s: Situation, step: Step) -> bool:
    """Whether a step removes a machine without the platform having ended its contract.

    What is reclaimed always has that word: the platform names the contract, and that it is over.
    """
    ended = s.want is not None and s.want.desired is Desired.ABSENT
    return step.do in _REMOVING and not ended


def begins_removal(s: Situation) -> bool:
    """Whether a removal that the circuit breaker counts would begin now, reports and pauses aside."""
    if s.standing in {Standing.UNKNOWN, Standing.DISTRUSTED}:
        return False
    step = _by_standing(s)
    return isinstance(step, Step) and step.do is not Do.DESTROY and unbacked(s, step)


def _unhalted_step(s: Situation) -> Step | Rest:
    if s.standing in {Standing.UNKNOWN, Standing.DISTRUSTED}:
        return Rest()
    if s.report_due_ms is not None and due(s.report_due_ms, s.now_ms):
        return Step(Do.SEND_REPORTS)
    rested = _backing_off(s)
    if rested is not None:
        return rested
    step = _by_standing(s)
    if isinstance(step, Rest) and s.report_due_ms is not None:
        return Rest(min(step.until_ms, s.report_due_ms))
    return step


@dataclass(frozen=True, slots=True)
class Plan:
    """Contracts to work on now, most urgent first, and when to look at the others again."""

    now: tuple[ContractId, ...]
    later_ms: Mapping[ContractId, int]


def plan(situations: Iterable[tuple[ContractId, Situation]], limit: int) -> Plan:
    """Order what there is to do; what goes beyond `limit` is looked at again very soon."""
    urgent: list[tuple[int, int, ContractId]] = []
    later_ms: dict[ContractId, int] = {}
    now_ms = 0
    for contract, situation in situations:
        now_ms = situation.now_ms
        step = next_step(situation)
        if isinstance(step, Rest):
            later_ms[contract] = step.until_ms
        else:
            deadline_ms = situation.want.deadline_ms if situation.want else 0
            urgent.append((_URGENCY.get(step.do, 3), deadline_ms or NEVER_MS, contract))
    ordered = [contract for _, _, contract in sorted(urgent)]
    later_ms.update(dict.fromkeys(ordered[limit:], now_ms + FULL_PAUSE_MS))
    return Plan(tuple(ordered[:limit]), later_ms)


# Ending what is unwanted and telling what happened come first; then what a tenant waits for.
_URGENCY = {
    Do.SEND_REPORTS: 0,
    Do.STOP: 0,
    Do.RECLAIM: 0,
    Do.BEGIN_DESTROY: 0,
    Do.DESTROY: 0,
    Do.CONFIRM_GONE: 0,
    Do.KEEP_LEASE: 1,
    Do.TAKE_LEASE: 1,
    Do.PREPARE: 1,
    Do.START_CREATE: 1,
    Do.CREATE: 1,
    Do.LOOK_UP: 1,
    Do.INSPECT: 1,
    Do.RESET: 1,
    Do.START: 2,
}


def _backing_off(s: Situation) -> Rest | None:
    """Rest after a failure; a change of what is wanted ends the pause."""
    i = s.instance
    if i is None or due(i.next_try_ms, s.now_ms):
        return None
    wanted = s.want.desired.value if s.want else ""
    if i.retry_for != wanted:
        return None
    due_ms = i.next_try_ms if s.report_due_ms is None else min(i.next_try_ms, s.report_due_ms)
    return Rest(due_ms)


def _by_standing(s: Situation) -> Step | Rest:
    if s.want is not None and s.want.desired is Desired.ABSENT:
        # For ever, whether the platform still names the contract or says nothing at all.
        return _absent(s, s.want)
    if s.standing is Standing.SILENT:
        return _silent(s)
    if s.want is None or not s.want.named:
        return _unnamed(s)
    if s.want.desired is Desired.STOPPED:
        return _stopped(s)
    return _running(s, s.want)


def _running(s: Situation, want: Want) -> Step | Rest:
    i = s.instance
    if i is None or i.stage is Stage.SEEN:
        return _may_take(s, want)
    if i.stage in MAKING and not s.lease_held:
        return Step(Do.KEEP_LEASE)
    if i.stage is Stage.LEASED:
        return Step(Do.PREPARE)
    if i.stage is Stage.PREPARED:
        ready = s.secrets_held or i.handle is not None
        return Step(Do.START_CREATE if ready else Do.PREPARE)
    if i.stage is Stage.STARTED:
        return _started(s, i)
    if i.stage is Stage.CREATED:
        return Step(Do.INSPECT)
    if i.stage is Stage.BOUND:
        return _bound(s, i)
    if i.stage is Stage.DESTROYING:
        # Begun under silence, and the platform is back with another word: see what is left.
        return Step(Do.INSPECT, "wanted again") if i.handle else Step(Do.LOOK_UP, "wanted again")
    return _quarantined(s, i) if i.stage is Stage.QUARANTINED else Rest()


def _may_take(s: Situation, want: Want) -> Step | Rest:
    """Ask for a lease where one can be had."""
    if not s.us.scope:
        return Rest()
    mine = want.holder == s.us.kid
    if want.state is AssignmentState.OPEN:
        return Step(Do.TAKE_LEASE)
    if want.state is AssignmentState.LEASED:
        free = mine or s.now_ms >= want.lease_expires_ms
        return Step(Do.TAKE_LEASE) if free else Rest(want.lease_expires_ms)
    if want.state is AssignmentState.CREATE_STARTED and want.scope == s.us.scope:
        free_ms = want.lease_expires_ms + TAKE_OVER_MS
        return Step(Do.TAKE_LEASE) if s.now_ms >= free_ms else Rest(free_ms)
    if want.state is AssignmentState.BOUND and mine and want.scope == s.us.scope:
        return Step(Do.ADOPT, "bound to us, and our journal does not know it")
    return Rest()


def _started(s: Situation, i: Instance) -> Step | Rest:
    """The create call is allowed: make it, or find out what became of it."""
    if i.handle is not None:
        return Step(Do.INSPECT)
    if i.create_called_ms and not _surely_empty(s, i):
        return Step(Do.LOOK_UP)
    if not due(i.create_after_ms, s.now_ms):
        return Rest(i.create_after_ms)
    return Step(Do.CREATE if s.secrets_held else Do.PREPARE)


def _surely_empty(s: Situation, i: Instance) -> bool:
    """Two empty look-ups, the second after the backend's read lag."""
    return i.empties >= 2 and passed(i.create_called_ms, s.us.read_lag_ms, s.now_ms)


def _bound(s: Situation, i: Instance) -> Step | Rest:
    seen = s.sight.state
    if seen is Observed.ABSENT or i.absent_since_ms:
        return _vanished(s, i)
    if seen is Observed.STOPPED and s.us.can_stop:
        return Step(Do.START, "wanted running, seen stopped")
    if _reset_due(s, i):
        return Step(Do.RESET)
    return _health(s, i)


def _reset_due(s: Situation, i: Instance) -> bool:
    """A new password is asked for, or one is on its way."""
    asked = s.want.reset if s.want else ""
    return i.reset is not None or asked not in {"", i.reset_done}


def _vanished(s: Situation, i: Instance) -> Step | Rest:
    """A bound machine is gone only if the same backend says so twice, some time apart."""
    if s.sight.state is not Observed.ABSENT and s.sight.at_ms > i.absent_since_ms:
        return Step(Do.INSPECT, "seen again")
    if not i.absent_since_ms:
        return Step(Do.INSPECT, "not seen")
    if passed(i.absent_since_ms, s.us.read_lag_ms, s.now_ms):
        return Step(Do.INSPECT, "still not seen")
    return Rest(i.absent_since_ms + s.us.read_lag_ms)


def _health(s: Situation, i: Instance) -> Step | Rest:
    told = i.health is s.sight.state or s.sight.state is Observed.UNKNOWN
    return Rest() if told else Step(Do.TELL_HEALTH)


def _stopped(s: Situation) -> Step | Rest:
    i = s.instance
    if i is None:
        return Rest()
    if i.stage in {Stage.STARTED, Stage.CREATED} and (i.create_called_ms or i.handle):
        # Finish what was begun: what exists must be known before it can be stopped.
        if not s.lease_held:
            return Step(Do.KEEP_LEASE)
        if i.handle is None:
            return Rest() if _surely_empty(s, i) else Step(Do.LOOK_UP)
        return Step(Do.INSPECT)
    if i.stage is Stage.BOUND:
        if s.sight.state is Observed.ABSENT or i.absent_since_ms:
            return _vanished(s, i)
        if s.sight.state is Observed.RUNNING and s.us.can_stop:
            return Step(
                Do.STOP, "suspended" if s.want and s.want.suspended else "paid time is over"
            )
        return _health(s, i)
    return _quarantined(s, i) if i.stage is Stage.QUARANTINED else Rest()


def _quarantined(s: Situation, i: Instance) -> Step | Rest:
    """Stop a machine that holds secrets nobody was given, so that one instance lives, not two."""
    ours = s.sight.attempt == i.attempt != ""
    if s.us.can_stop and not i.bound and ours and s.sight.state is Observed.RUNNING:
        return Step(Do.STOP, "quarantined")
    return Rest()


def _absent(s: Situation, want: Want) -> Step | Rest:
    i = s.instance
    if i is None:
        return _reclaim(s, want)
    if i.stage is Stage.ENDED:
        return Rest()
    if i.stage is Stage.DESTROYING:
        if i.handle is not None:
            return Step(Do.DESTROY)
        return Step(Do.CONFIRM_GONE) if _surely_empty(s, i) else Step(Do.LOOK_UP)
    if i.stage in {Stage.GONE, Stage.FAILED}:
        if s.report_due_ms is not None:
            return Rest(s.report_due_ms)
        if i.stage is Stage.FAILED and want.named and want.state in _BEGUN:
            return Step(Do.BEGIN_DESTROY, "failed, and something was left behind")
        return Step(Do.DROP)
    if i.stage in MAY_EXIST or i.handle is not None:
        return Step(Do.BEGIN_DESTROY, "unwanted")
    return Step(Do.DROP)


def _reclaim(s: Situation, want: Want) -> Step | Rest:
    """Remove what our journal does not know: bound to us, or on our backend by an agent long away."""
    here = s.us.scope != "" and want.scope == s.us.scope
    if not (want.named and here and want.state in _BEGUN):
        return Rest()
    if want.holder == s.us.kid:
        return Step(Do.RECLAIM, "unwanted, and our journal does not know it")
    if s.sight.state in {Observed.UNKNOWN, Observed.ABSENT}:
        return Rest()
    away_ms = want.lease_expires_ms + TAKE_OVER_MS
    if s.now_ms >= away_ms:
        return Step(Do.RECLAIM, "unwanted, and the agent that made it does not remove it")
    return Rest(away_ms)


def _unnamed(s: Situation) -> Step | Rest:
    """The platform does not name the contract: that is no order to remove anything."""
    i = s.instance
    if i is None or i.stage is Stage.ENDED:
        return Rest()
    if i.stage in {Stage.GONE, Stage.FAILED}:
        return Step(Do.DROP) if s.report_due_ms is None else Rest(s.report_due_ms)
    nothing_made = i.handle is None and not i.create_called_ms
    if nothing_made and i.stage in {Stage.SEEN, Stage.LEASED, Stage.PREPARED, Stage.STARTED}:
        return Step(Do.DROP)
    return Rest()


def _silent(s: Situation) -> Step | Rest:
    """Nobody tells us anything: finish what was begun, and end what was not paid for long ago."""
    i, want = s.instance, s.want
    if i is None:
        return Rest()
    if i.stage is Stage.STARTED and i.create_called_ms and i.handle is None:
        return Rest() if _surely_empty(s, i) else Step(Do.LOOK_UP)
    if i.stage is Stage.CREATED:
        return Step(Do.INSPECT)
    if i.stage is Stage.DESTROYING:
        return Step(Do.DESTROY) if i.handle else Rest()
    if want is None or want.suspended or not want.paid_until_ms or i.handle is None:
        return Rest()
    if i.stage not in {Stage.BOUND, Stage.REPORTING} or s.sight.scope != i.scope:
        return Rest()
    if s.sight.state not in {Observed.RUNNING, Observed.STOPPED}:
        return Rest()
    grace_ms = SILENT_DESTROY_RENEWING_MS if want.renews else SILENT_DESTROY_MS
    destroy_ms, stop_ms = want.paid_until_ms + grace_ms, want.paid_until_ms + SILENT_STOP_MS
    if s.now_ms >= destroy_ms:
        return Step(Do.BEGIN_DESTROY, "the platform is silent and the paid time ended long ago")
    if s.sight.state is Observed.RUNNING and s.us.can_stop:
        if s.now_ms >= stop_ms:
            return Step(Do.STOP, "the platform is silent and the paid time is over")
        return Rest(stop_ms)
    return Rest(destroy_ms)

"""The plan, row by row: what is done next, and above all what is never done."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from decent_cloud.agent.plan import (
    SILENT_DESTROY_MS,
    SILENT_DESTROY_RENEWING_MS,
    SILENT_STOP_MS,
    TAKE_OVER_MS,
    next_step,
    plan,
)
from decent_cloud.agent.records import Instance, Stage, Want
from decent_cloud.agent.situation import NEVER_MS, Do, Rest, Sight, Situation, Standing, Step, Us
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS
from decent_cloud.kernel.status import AssignmentState, Desired, Observed
from tests.agent.records import CONTRACT, HANDLE, ME, NOW, OTHER, SCOPE, instance, situation, want

RUNS = Sight(Observed.RUNNING, SCOPE, "a1", HANDLE, NOW)
STANDS = Sight(Observed.STOPPED, SCOPE, "a1", HANDLE, NOW)
AWAY = Sight(Observed.ABSENT, SCOPE, "", HANDLE, NOW)
NO_STOP = Us(ME, SCOPE, can_stop=False)
HARM = {Do.STOP, Do.BEGIN_DESTROY, Do.DESTROY, Do.RECLAIM, Do.CONFIRM_GONE, Do.DROP}

LEASED, OPEN, STARTED, BOUND, ENDED = (
    AssignmentState.LEASED,
    AssignmentState.OPEN,
    AssignmentState.CREATE_STARTED,
    AssignmentState.BOUND,
    AssignmentState.ENDED,
)


def made(stage: Stage, **changed: Any) -> Instance:
    """An instance whose machine exists."""
    fields: dict[str, Any] = {
        "fence": 1,
        "attempt": "a1",
        "scope": SCOPE,
        "handle": HANDLE,
        "create_called_ms": NOW - DAY_MS,
        **changed,
    }
    return instance(stage, **fields)


def absent(**changed: Any) -> Want:
    fields: dict[str, Any] = {"desired": Desired.ABSENT, "state": BOUND, "holder": ME}
    return want(**{**fields, "scope": SCOPE, **changed})


MAKING: list[tuple[str, dict[str, Any], Do | None]] = [
    ("an open contract is asked for", {"want": want()}, Do.TAKE_LEASE),
    ("not without knowing our backend", {"want": want(), "us": Us(ME, "", True)}, None),
    (
        "another's lease is left alone",
        {"want": want(state=LEASED, holder="x", lease_expires_ms=NOW + 1)},
        None,
    ),
    (
        "a lapsed lease is asked for",
        {"want": want(state=LEASED, holder="x", lease_expires_ms=NOW)},
        Do.TAKE_LEASE,
    ),
    (
        "our own lease of a lost journal is asked for",
        {"want": want(state=LEASED, holder=ME, lease_expires_ms=NOW + 1)},
        Do.TAKE_LEASE,
    ),
    (
        "a begun create of our backend is left alone at first",
        {"want": want(state=STARTED, holder="x", scope=SCOPE, lease_expires_ms=NOW - 1)},
        None,
    ),
    (
        "and may be taken over later",
        {"want": want(state=STARTED, scope=SCOPE, lease_expires_ms=NOW - TAKE_OVER_MS)},
        Do.TAKE_LEASE,
    ),
    (
        "never one of another backend",
        {"want": want(state=STARTED, scope="fake-2", lease_expires_ms=0)},
        None,
    ),
    (
        "what is bound to us and unknown here is adopted",
        {"want": want(state=BOUND, holder=ME, scope=SCOPE)},
        Do.ADOPT,
    ),
    (
        "what is bound to another is not",
        {"want": want(state=BOUND, holder="x", scope=SCOPE)},
        None,
    ),
    (
        "after a restart the lease is renewed first",
        {"want": want(), "instance": instance(Stage.LEASED, fence=1)},
        Do.KEEP_LEASE,
    ),
    (
        "a lease leads to preparation",
        {"want": want(), "instance": instance(Stage.LEASED, fence=1), "lease_held": True},
        Do.PREPARE,
    ),
    (
        "what is prepared asks leave",
        {
            "want": want(),
            "instance": instance(Stage.PREPARED),
            "lease_held": True,
            "secrets_held": True,
        },
        Do.START_CREATE,
    ),
    (
        "lost secrets are made anew",
        {"want": want(), "instance": instance(Stage.PREPARED), "lease_held": True},
        Do.PREPARE,
    ),
    (
        "an adopted machine needs none",
        {"want": want(), "instance": made(Stage.PREPARED), "lease_held": True},
        Do.START_CREATE,
    ),
    (
        "leave leads to the create call",
        {
            "want": want(),
            "instance": instance(Stage.STARTED),
            "lease_held": True,
            "secrets_held": True,
        },
        Do.CREATE,
    ),
    (
        "never without a look after a call that may have happened",
        {
            "want": want(),
            "instance": instance(Stage.STARTED, create_called_ms=NOW - DAY_MS),
            "lease_held": True,
            "secrets_held": True,
        },
        Do.LOOK_UP,
    ),
    (
        "one empty look-up is not enough",
        {
            "want": want(),
            "instance": instance(Stage.STARTED, create_called_ms=NOW - DAY_MS, empties=1),
            "lease_held": True,
            "secrets_held": True,
        },
        Do.LOOK_UP,
    ),
    (
        "two within the read lag are not either",
        {
            "want": want(),
            "instance": instance(Stage.STARTED, create_called_ms=NOW - 9_999, empties=5),
            "lease_held": True,
            "secrets_held": True,
        },
        Do.LOOK_UP,
    ),
    (
        "two after it are",
        {
            "want": want(),
            "instance": instance(Stage.STARTED, create_called_ms=NOW - 10_000, empties=2),
            "lease_held": True,
            "secrets_held": True,
        },
        Do.CREATE,
    ),
    (
        "and not before the back-off ends",
        {
            "want": want(),
            "instance": instance(
                Stage.STARTED,
                create_called_ms=NOW - 10_000,
                empties=2,
                create_after_ms=NOW + 1,
            ),
            "lease_held": True,
            "secrets_held": True,
        },
        None,
    ),
    (
        "and without secrets new ones come first",
        {
            "want": want(),
            "instance": instance(Stage.STARTED, create_called_ms=NOW - 10_000, empties=2),
            "lease_held": True,
        },
        Do.PREPARE,
    ),
    (
        "a new machine is watched",
        {"want": want(), "instance": made(Stage.CREATED), "lease_held": True},
        Do.INSPECT,
    ),
    (
        "a reported one waits",
        {"want": want(), "instance": made(Stage.REPORTING), "lease_held": True},
        None,
    ),
    ("a failed one too", {"want": want(), "instance": instance(Stage.FAILED)}, None),
    (
        "a report that is due goes out",
        {"want": want(), "instance": made(Stage.REPORTING), "report_due_ms": NOW},
        Do.SEND_REPORTS,
    ),
]

LIVING: list[tuple[str, dict[str, Any], Do | None]] = [
    (
        "a healthy one is left alone",
        {"want": want(), "instance": made(Stage.BOUND, health=Observed.RUNNING), "sight": RUNS},
        None,
    ),
    (
        "an unknown one too",
        {"want": want(), "instance": made(Stage.BOUND, health=Observed.RUNNING)},
        None,
    ),
    (
        "news are told",
        {"want": want(), "instance": made(Stage.BOUND, health=Observed.STOPPED), "sight": RUNS},
        Do.TELL_HEALTH,
    ),
    (
        "a stopped one is started",
        {"want": want(), "instance": made(Stage.BOUND, health=Observed.RUNNING), "sight": STANDS},
        Do.START,
    ),
    (
        "where the driver can",
        {
            "want": want(),
            "instance": made(Stage.BOUND, health=Observed.STOPPED),
            "sight": STANDS,
            "us": NO_STOP,
        },
        None,
    ),
    (
        "one that is not seen is read by itself",
        {"want": want(), "instance": made(Stage.BOUND), "sight": AWAY},
        Do.INSPECT,
    ),
    (
        "and again only after the read lag",
        {"want": want(), "instance": made(Stage.BOUND, absent_since_ms=NOW - 9_999), "sight": AWAY},
        None,
    ),
    (
        "then again",
        {
            "want": want(),
            "instance": made(Stage.BOUND, absent_since_ms=NOW - 10_000),
            "sight": AWAY,
        },
        Do.INSPECT,
    ),
    (
        "a suspended one is stopped",
        {
            "want": want(desired=Desired.STOPPED, suspended=True),
            "instance": made(Stage.BOUND),
            "sight": RUNS,
        },
        Do.STOP,
    ),
    (
        "once",
        {
            "want": want(desired=Desired.STOPPED),
            "instance": made(Stage.BOUND, health=Observed.STOPPED),
            "sight": STANDS,
        },
        None,
    ),
    (
        "where the driver can stop",
        {
            "want": want(desired=Desired.STOPPED),
            "instance": made(Stage.BOUND, health=Observed.RUNNING),
            "sight": RUNS,
            "us": NO_STOP,
        },
        None,
    ),
    (
        "an unseen one is not stopped blindly",
        {"want": want(desired=Desired.STOPPED), "instance": made(Stage.BOUND)},
        None,
    ),
    (
        "nothing new is begun while it should stand",
        {"want": want(desired=Desired.STOPPED), "instance": instance(Stage.PREPARED)},
        None,
    ),
    (
        "what was begun is found out",
        {
            "want": want(desired=Desired.STOPPED),
            "instance": instance(Stage.STARTED, create_called_ms=NOW),
            "lease_held": True,
        },
        Do.LOOK_UP,
    ),
    (
        "our own quarantined machine is stopped",
        {"want": want(), "instance": made(Stage.QUARANTINED, lost=True), "sight": RUNS},
        Do.STOP,
    ),
    (
        "not one that another attempt made",
        {
            "want": want(),
            "instance": made(Stage.QUARANTINED, lost=True, attempt="a2"),
            "sight": RUNS,
        },
        None,
    ),
    (
        "nor one that was a tenant's",
        {"want": want(), "instance": made(Stage.QUARANTINED, bound=True), "sight": RUNS},
        None,
    ),
]

ENDING: list[tuple[str, dict[str, Any], Do | None]] = [
    (
        "an unwanted one is destroyed",
        {"want": absent(), "instance": made(Stage.BOUND)},
        Do.BEGIN_DESTROY,
    ),
    (
        "also while it is coming up",
        {"want": absent(), "instance": made(Stage.CREATED)},
        Do.BEGIN_DESTROY,
    ),
    ("also unreported", {"want": absent(), "instance": made(Stage.REPORTING)}, Do.BEGIN_DESTROY),
    ("also quarantined", {"want": absent(), "instance": made(Stage.QUARANTINED)}, Do.BEGIN_DESTROY),
    (
        "also when the create call may have happened",
        {"want": absent(), "instance": instance(Stage.STARTED, create_called_ms=NOW)},
        Do.BEGIN_DESTROY,
    ),
    (
        "what was not begun is dropped",
        {"want": absent(), "instance": instance(Stage.LEASED)},
        Do.DROP,
    ),
    ("also prepared", {"want": absent(), "instance": instance(Stage.PREPARED)}, Do.DROP),
    ("destroying goes on", {"want": absent(), "instance": made(Stage.DESTROYING)}, Do.DESTROY),
    (
        "without a handle it is looked for",
        {"want": absent(), "instance": made(Stage.DESTROYING, handle=None)},
        Do.LOOK_UP,
    ),
    (
        "and is gone after two empty look-ups",
        {"want": absent(), "instance": made(Stage.DESTROYING, handle=None, empties=2)},
        Do.CONFIRM_GONE,
    ),
    (
        "gone waits for its report",
        {"want": absent(), "instance": made(Stage.GONE), "report_due_ms": NOW + 5},
        None,
    ),
    ("and is over then", {"want": absent(), "instance": made(Stage.GONE)}, Do.DROP),
    (
        "what a failure left behind goes too",
        {"want": absent(), "instance": instance(Stage.FAILED)},
        Do.BEGIN_DESTROY,
    ),
    (
        "a failure that left nothing is over",
        {"want": absent(state=ENDED, named=False), "instance": instance(Stage.FAILED)},
        Do.DROP,
    ),
    (
        "what our journal lost is reclaimed",
        {"want": absent()},
        Do.RECLAIM,
    ),
    ("not another agent's", {"want": absent(holder="x")}, None),
    (
        "but what another left on our backend long ago",
        {"want": absent(holder="x", lease_expires_ms=NOW - TAKE_OVER_MS), "sight": RUNS},
        Do.RECLAIM,
    ),
    (
        "not earlier",
        {"want": absent(holder="x", lease_expires_ms=NOW - TAKE_OVER_MS + 1), "sight": RUNS},
        None,
    ),
    ("not of another backend", {"want": absent(scope="fake-2")}, None),
    ("nor what was never begun", {"want": absent(state=LEASED)}, None),
    (
        "absent is for ever, also when the platform names it no more",
        {"want": absent(named=False), "instance": made(Stage.DESTROYING)},
        Do.DESTROY,
    ),
    (
        "and when it is silent",
        {"want": absent(), "instance": made(Stage.BOUND), "standing": Standing.SILENT},
        Do.BEGIN_DESTROY,
    ),
    ("over is over", {"want": absent(), "instance": made(Stage.ENDED)}, None),
]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [pytest.param(row[1], row[2], id=row[0]) for row in (*MAKING, *LIVING, *ENDING)],
)
def test_the_next_step(changed: dict[str, Any], expected: Do | None) -> None:
    step = next_step(situation(**changed))
    assert (step.do if isinstance(step, Step) else None) == expected


def everything() -> list[Situation]:
    """Every stage, wish, sight and ability at once, with the contract named and paid."""
    wants = [
        None,
        *(
            want(
                desired=desired, state=state, holder=ME, scope=SCOPE, paid_until_ms=NOW, named=named
            )
            for desired, state, named in itertools.product(
                Desired, (OPEN, STARTED, BOUND), (True, False)
            )
        ),
    ]
    instances = [
        None,
        *(made(stage) for stage in Stage),
        *(made(stage, handle=None) for stage in Stage),
    ]
    return [
        situation(want=wish, instance=one, sight=sight, us=us, lease_held=held)
        for wish, one, sight, us, held in itertools.product(
            wants,
            instances,
            (Sight(), RUNS, STANDS, AWAY),
            (Us(ME, SCOPE, True), NO_STOP),
            (True, False),
        )
    ]


def with_standing(s: Situation, standing: Standing) -> Situation:
    return Situation(s.now_ms, standing, s.us, s.want, s.instance, s.sight, s.lease_held)


@pytest.mark.parametrize("standing", [Standing.DISTRUSTED, Standing.UNKNOWN])
def test_a_platform_that_is_not_trusted_moves_nothing(standing: Standing) -> None:
    for s in everything():
        assert next_step(with_standing(s, standing)) == Rest(NEVER_MS), s


def test_nothing_is_harmed_without_a_word_for_this_contract() -> None:
    """A machine is only touched when the platform said `absent` or `stopped`, or is not ours to keep."""
    for s in everything():
        step = next_step(s)
        if not isinstance(step, Step) or step.do not in HARM or s.instance is None:
            continue
        said = s.want is not None and (
            s.want.desired is Desired.ABSENT
            or (s.want.named and s.want.desired is Desired.STOPPED and step.do is Do.STOP)
        )
        has_machine = s.instance.handle is not None or s.instance.create_called_ms > 0
        over = s.instance.stage in {Stage.GONE, Stage.FAILED}
        own_double = s.instance.stage is Stage.QUARANTINED and step.do is Do.STOP
        assert said or own_double or over or not has_machine, (s, step)


def test_a_silent_platform_ends_nothing_that_is_paid_or_just_over() -> None:
    for s in everything():
        if s.want is None or s.want.desired is Desired.ABSENT:
            continue
        if s.instance is not None and s.instance.stage is Stage.DESTROYING:
            continue
        step = next_step(with_standing(s, Standing.SILENT))
        assert not isinstance(step, Step) or step.do not in HARM, (s, step)


SILENT: list[tuple[str, int, dict[str, Any], dict[str, Any], Do | None]] = [
    ("not yet", SILENT_STOP_MS - 1, {}, {}, None),
    ("stop a day after the paid time", SILENT_STOP_MS, {}, {}, Do.STOP),
    ("not what is suspended", SILENT_DESTROY_MS, {"suspended": True}, {}, None),
    ("not what was never paid", SILENT_DESTROY_MS, {"paid_until_ms": 0}, {}, None),
    ("not what is unknown", SILENT_DESTROY_MS, {}, {"sight": Sight()}, None),
    (
        "not what another backend shows",
        SILENT_DESTROY_MS,
        {},
        {"sight": Sight(Observed.RUNNING, "fake-2", "a1", HANDLE, NOW)},
        None,
    ),
    ("no stop without the ability", SILENT_STOP_MS, {}, {"us": NO_STOP}, None),
    ("a stopped one stays", SILENT_STOP_MS, {}, {"sight": STANDS}, None),
    ("destroyed after seven days", SILENT_DESTROY_MS, {}, {"sight": STANDS}, Do.BEGIN_DESTROY),
    ("and not before", SILENT_DESTROY_MS - 1, {}, {"sight": STANDS}, None),
    (
        "renewing ones after thirty",
        SILENT_DESTROY_RENEWING_MS - 1,
        {"renews": True},
        {"sight": STANDS},
        None,
    ),
    (
        "but then",
        SILENT_DESTROY_RENEWING_MS,
        {"renews": True},
        {"sight": STANDS},
        Do.BEGIN_DESTROY,
    ),
]


@pytest.mark.parametrize(
    ("late_ms", "wish", "changed", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in SILENT],
)
def test_silence(
    late_ms: int, wish: dict[str, Any], changed: dict[str, Any], expected: Do | None
) -> None:
    s = situation(
        **{
            "standing": Standing.SILENT,
            "want": want(**{"paid_until_ms": NOW - late_ms, **wish}),
            "instance": made(Stage.BOUND),
            "sight": RUNS,
            **changed,
        }
    )
    step = next_step(s)
    assert (step.do if isinstance(step, Step) else None) == expected


def test_a_silent_platform_is_looked_at_again_when_the_time_has_come() -> None:
    s = situation(
        standing=Standing.SILENT,
        want=want(paid_until_ms=NOW - HOUR_MS),
        instance=made(Stage.BOUND),
        sight=RUNS,
    )
    assert next_step(s) == Rest(NOW - HOUR_MS + SILENT_STOP_MS)


def test_a_platform_that_comes_back_keeps_what_silence_had_begun_to_remove() -> None:
    s = situation(want=want(state=BOUND, holder=ME), instance=made(Stage.DESTROYING), sight=RUNS)
    assert next_step(s) == Step(Do.INSPECT, "wanted again")


def test_a_failure_is_tried_again_later_and_a_new_word_at_once() -> None:
    tired = made(Stage.BOUND, next_try_ms=NOW + 5_000, retry_for="running", tries=3)
    assert next_step(situation(want=want(), instance=tired, sight=STANDS)) == Rest(NOW + 5_000)
    step = next_step(situation(want=absent(), instance=tired))
    assert step == Step(Do.BEGIN_DESTROY, "unwanted")


def test_reports_do_not_wait_for_a_back_off_nor_hold_up_an_end() -> None:
    tired = made(Stage.BOUND, next_try_ms=NOW + 5_000, retry_for="running")
    due = situation(want=want(), instance=tired, report_due_ms=NOW)
    assert next_step(due) == Step(Do.SEND_REPORTS)
    later = situation(want=want(), instance=tired, report_due_ms=NOW + 1_000)
    assert next_step(later) == Rest(NOW + 1_000)
    unwanted = situation(want=absent(), instance=made(Stage.REPORTING), report_due_ms=NOW + 1_000)
    assert next_step(unwanted) == Step(Do.BEGIN_DESTROY, "unwanted")


def test_urgent_work_comes_first_and_the_rest_very_soon() -> None:
    found = plan(
        [
            (OTHER, situation(want=want(OTHER))),
            (CONTRACT, situation(want=absent(), instance=made(Stage.BOUND))),
        ],
        limit=1,
    )
    assert found.now == (CONTRACT,)
    assert 0 < found.later_ms[OTHER] - NOW < 1_000


def test_the_earlier_deadline_comes_first() -> None:
    rows = [
        (CONTRACT, situation(want=want(deadline_ms=NOW + 2))),
        (OTHER, situation(want=want(OTHER, deadline_ms=NOW + 1))),
    ]
    assert plan(rows, 5).now == (OTHER, CONTRACT)

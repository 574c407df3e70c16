"""The circuit breaker: what it counts, when it trips, and that only people let it go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.agent.breaker import ALARM_BREAKER, WINDOW_MS, Breaker, most, read_held, release
from decent_cloud.agent.journal import Journal
from decent_cloud.agent.journal_memory import MemoryJournal
from decent_cloud.agent.plan import SILENT_DESTROY_MS, begins_removal, next_step
from decent_cloud.agent.records import Change, Stage
from decent_cloud.agent.situation import Do, Rest, Sight, Situation, Standing, Step
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import AssignmentState, Desired, Observed
from tests.agent.records import HANDLE, ME, NOW, SCOPE, instance, situation, want

RUNS = Sight(Observed.RUNNING, SCOPE, "a1", HANDLE, NOW)


def contract(number: int) -> ContractId:
    return ContractId(f"c{number:026d}")


def silent(**changed: Any) -> Situation:
    """A bound machine whose paid time ended long ago under a silent platform."""
    fields: dict[str, Any] = {
        "standing": Standing.SILENT,
        "want": want(paid_until_ms=NOW - SILENT_DESTROY_MS),
        "instance": instance(Stage.BOUND, scope=SCOPE, handle=HANDLE, attempt="a1"),
        "sight": RUNS,
        **changed,
    }
    return situation(**fields)


def ended(**changed: Any) -> Situation:
    word = want(desired=Desired.ABSENT, state=AssignmentState.BOUND, holder=ME, scope=SCOPE)
    return silent(standing=Standing.TRUSTED, want=word, **changed)


def journal_with(live: int) -> Journal:
    journal = MemoryJournal()
    for number in range(live):
        journal.commit(Change(instance(Stage.BOUND, contract(number))))
    return journal


def due_of(*numbers: int) -> frozenset[ContractId]:
    return frozenset(contract(number) for number in numbers)


def test_what_silence_would_remove_is_counted_and_what_the_platform_ended_is_not() -> None:
    assert begins_removal(silent())
    assert not begins_removal(ended())
    assert not begins_removal(ended(instance=None))  # not in our journal, and ended all the same
    assert not begins_removal(silent(standing=Standing.DISTRUSTED))


def test_while_it_holds_what_the_platform_ended_is_still_removed() -> None:
    step = next_step(ended(halted=True))
    assert isinstance(step, Step)
    assert step.do is Do.BEGIN_DESTROY


@pytest.mark.parametrize("stage", [Stage.BOUND, Stage.DESTROYING])
def test_while_it_holds_nothing_else_is_begun_or_gone_on_with(stage: Stage) -> None:
    held = silent(instance=instance(stage, scope=SCOPE, handle=HANDLE, attempt="a1"))
    assert isinstance(next_step(held), Step)
    assert isinstance(next_step(replace(held, halted=True)), Rest)


@pytest.mark.parametrize(("live", "limit"), [(0, 2), (1, 2), (29, 2), (30, 3), (200, 20)])
def test_a_tenth_may_go_in_one_pass_and_two_in_any_case(live: int, limit: int) -> None:
    assert most(live) == limit


def test_a_pass_within_the_limit_goes_through() -> None:
    journal = journal_with(5)
    breaker = Breaker(journal, lambda: due_of(0, 1))
    assert breaker.admit(contract(0), NOW)
    assert not breaker.holds()
    assert journal.alarms() == ()


def test_not_one_of_a_pass_beyond_the_limit_is_removed() -> None:
    journal = journal_with(5)
    breaker = Breaker(journal, lambda: due_of(0, 1, 2))
    assert not breaker.admit(contract(0), NOW)
    assert breaker.holds()
    (alarm,) = journal.alarms()
    assert alarm.name == ALARM_BREAKER
    assert "3 of 5" in alarm.text
    assert "release-breaker" in alarm.text


def test_removals_that_trickle_in_count_together_for_an_hour() -> None:
    journal = journal_with(10)
    passes = [Breaker(journal, lambda n=n: due_of(n)) for n in range(4)]  # type: ignore[misc]
    assert passes[0].admit(contract(0), NOW)
    assert passes[1].admit(contract(1), NOW + 60_000)
    # Restarts in between change nothing: what began is in the journal.
    assert not passes[2].admit(contract(2), NOW + 120_000)
    release(journal, NOW + 120_000)
    assert Breaker(journal, lambda: due_of(3)).admit(contract(3), NOW + 60_000 + WINDOW_MS)


def test_it_holds_over_a_restart_until_it_is_released() -> None:
    journal = journal_with(5)
    due = due_of(0, 1, 2)
    assert not Breaker(journal, lambda: due).admit(contract(0), NOW)
    again = Breaker(journal, lambda: due)
    assert again.holds()
    assert not again.admit(contract(1), NOW + 2 * WINDOW_MS)
    assert release(journal, NOW) is not None
    assert not again.holds()
    assert all(again.admit(each, NOW) for each in sorted(due))
    assert journal.alarms() == ()
    assert release(journal, NOW) is None


def test_a_release_is_for_what_was_held_up_only() -> None:
    journal = journal_with(9)
    assert not Breaker(journal, lambda: due_of(0, 1, 2)).admit(contract(0), NOW)
    release(journal, NOW)
    breaker = Breaker(journal, lambda: due_of(0, 1, 2, 3, 4, 5))
    assert breaker.admit(contract(1), NOW)
    assert not breaker.admit(contract(3), NOW)
    assert breaker.holds()


def test_the_list_of_what_is_held_up_is_kept_fresh() -> None:
    journal = journal_with(9)
    due = set(due_of(0, 1, 2))
    breaker = Breaker(journal, lambda: due)
    assert not breaker.admit(contract(0), NOW)
    due.add(contract(3))
    breaker.watch(NOW + 1)
    held = read_held(journal)
    assert held is not None
    assert held.contracts == tuple(sorted(due))
    assert held.since_ms == NOW


def test_the_same_removal_tried_again_counts_once() -> None:
    journal = journal_with(5)
    breaker = Breaker(journal, lambda: due_of(0))
    assert all(breaker.admit(contract(0), NOW + tried) for tried in range(5))
    assert not breaker.holds()


def test_machines_aside_that_are_held_up_stay_on_the_list() -> None:
    journal = journal_with(5)
    breaker = Breaker(journal, lambda: due_of())
    assert not breaker.admit(contract(7), NOW, due_of(7, 8, 9))
    breaker.watch(NOW)
    held = release(journal, NOW)
    assert held is not None
    assert held.contracts == tuple(sorted(due_of(7, 8, 9)))
    assert all(breaker.admit(each, NOW, due_of(7, 8, 9)) for each in sorted(due_of(7, 8, 9)))

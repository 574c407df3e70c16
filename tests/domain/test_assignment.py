"""Who may work on a contract: leases, fences, backends, and what a report may conclude."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.contracts import assignment as rules
from decent_cloud.domain.contracts import instance
from decent_cloud.domain.contracts.assignment import (
    ASSIGNMENT,
    LEASE_MS,
    TAKE_OVER_MS,
    Assignment,
    AssignmentEvent,
    LeaseLost,
    LeaseTaken,
    NotWanted,
    WrongScope,
)
from decent_cloud.kernel.ids import AccountId, ContractId, Kid, PoolId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.status import AssignmentState, Desired, Observed

S, E = AssignmentState, AssignmentEvent
NOW = 1_800_000_000_000
ONE, TWO = Kid("agent-one"), Kid("agent-two")
HERE, THERE = "engine-1", "engine-2"

EXPECTED = {
    (S.OPEN, E.LEASED): S.LEASED,
    (S.OPEN, E.NOT_WANTED): S.ENDED,
    (S.LEASED, E.LEASE_OVER): S.OPEN,
    (S.LEASED, E.RENEWED): S.LEASED,
    (S.LEASED, E.CREATE_STARTED): S.CREATE_STARTED,
    (S.LEASED, E.NOT_WANTED): S.ENDED,
    (S.LEASED, E.FAILED): S.ENDED,
    (S.CREATE_STARTED, E.RENEWED): S.CREATE_STARTED,
    (S.CREATE_STARTED, E.TAKEN_OVER): S.CREATE_STARTED,
    (S.CREATE_STARTED, E.BOUND): S.BOUND,
    (S.CREATE_STARTED, E.FAILED): S.ENDED,
    (S.CREATE_STARTED, E.GONE): S.ENDED,
    (S.BOUND, E.GONE): S.ENDED,
}


def an_assignment() -> Assignment:
    return Assignment(
        contract=ContractId("c1"),
        provider=AccountId("b" * 64),
        pool=PoolId("w1"),
        state=S.OPEN,
        desired=Desired.RUNNING,
        created_at_ms=NOW,
    )


def leased(agent: Kid = ONE) -> Assignment:
    return rules.take_lease(an_assignment(), agent, HERE, NOW)


def creating() -> Assignment:
    return rules.start_create(leased(), ONE, 1, HERE, NOW)


def bound() -> Assignment:
    return rules.bind(creating(), "dc-c1", NOW)


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_every_pair_of_state_and_event_is_as_designed(
    state: AssignmentState, event: AssignmentEvent
) -> None:
    assert ASSIGNMENT.table.get((state, event)) == EXPECTED.get((state, event))


def test_only_ended_is_the_end_and_every_other_state_has_an_owner() -> None:
    assert ASSIGNMENT.terminal() == {S.ENDED}
    assert set(ASSIGNMENT.keepers) == set(S) - {S.ENDED}


def test_a_lease_is_held_for_a_minute_by_one_agent() -> None:
    first = leased()
    assert (first.fence, first.attempt, first.holder) == (1, 1, ONE)
    assert first.lease_expires_ms == NOW + LEASE_MS
    with pytest.raises(LeaseTaken):
        rules.take_lease(first, TWO, HERE, NOW + LEASE_MS - 1)


def test_before_a_create_a_lapsed_lease_goes_to_any_agent_and_the_first_one_has_lost_it() -> None:
    second = rules.take_lease(leased(), TWO, THERE, NOW + LEASE_MS)
    assert (second.fence, second.attempt, second.holder) == (2, 2, TWO)
    with pytest.raises(LeaseLost):
        rules.renew(second, ONE, 1, NOW + LEASE_MS)
    with pytest.raises(LeaseLost):
        rules.start_create(second, ONE, 1, HERE, NOW + LEASE_MS)


def test_the_holder_itself_may_start_anew_before_a_create() -> None:
    again = rules.take_lease(leased(), ONE, HERE, NOW + 1)
    assert again.fence == 2


def test_a_fence_is_worth_nothing_in_another_agents_hand() -> None:
    with pytest.raises(LeaseLost):
        rules.renew(leased(), TWO, 1, NOW)


def test_a_lease_that_ran_out_is_renewed_while_nobody_took_it() -> None:
    renewed = rules.renew(leased(), ONE, 1, NOW + 10 * LEASE_MS)
    assert renewed.lease_expires_ms == NOW + 11 * LEASE_MS
    assert renewed.fence == 1


def test_leave_to_create_is_given_once_per_attempt_and_asking_again_changes_nothing() -> None:
    first = creating()
    assert (first.state, first.scope) == (S.CREATE_STARTED, HERE)
    again = rules.start_create(first, ONE, 1, HERE, NOW)
    assert again == first


def test_after_a_create_only_the_same_backend_goes_on_and_only_after_a_long_wait() -> None:
    free_ms = NOW + LEASE_MS + TAKE_OVER_MS
    with pytest.raises(WrongScope):
        rules.take_lease(creating(), TWO, THERE, free_ms)
    for agent in (ONE, TWO):
        with pytest.raises(LeaseTaken):
            rules.take_lease(creating(), agent, HERE, free_ms - 1)
    taken = rules.take_lease(creating(), TWO, HERE, free_ms)
    assert (taken.state, taken.fence, taken.holder) == (S.CREATE_STARTED, 2, TWO)
    with pytest.raises(WrongScope):
        rules.start_create(taken, TWO, 2, THERE, free_ms)
    assert rules.start_create(taken, TWO, 2, HERE, free_ms).fence == 2
    with pytest.raises(LeaseLost):
        rules.check_fence(taken, ONE, 1)


@pytest.mark.parametrize("desired", [Desired.STOPPED, Desired.ABSENT])
def test_nothing_new_is_made_that_is_not_wanted(desired: Desired) -> None:
    with pytest.raises((NotWanted, IllegalTransition)):
        rules.take_lease(rules.want(an_assignment(), desired, NOW), ONE, HERE, NOW)
    with pytest.raises(NotWanted):
        rules.start_create(rules.want(leased(), desired, NOW), ONE, 1, HERE, NOW)


def test_work_without_a_create_ends_at_once_and_work_with_one_needs_a_read() -> None:
    for before in (an_assignment(), leased()):
        assert rules.want(before, Desired.ABSENT, NOW).state is S.ENDED
    for after in (creating(), bound()):
        still = rules.want(after, Desired.ABSENT, NOW)
        assert still.state is after.state
        assert still.desired is Desired.ABSENT


def test_absent_is_for_ever() -> None:
    unwanted = rules.want(bound(), Desired.ABSENT, NOW)
    assert rules.want(unwanted, Desired.RUNNING, NOW) == unwanted


def test_an_instance_is_bound_once() -> None:
    assert bound().state is S.BOUND
    assert rules.bind(bound(), "another", NOW + 1) == bound()
    with pytest.raises(IllegalTransition):
        rules.bind(leased(), "dc-c1", NOW)


@pytest.mark.parametrize(
    ("assignment", "scope", "expected"),
    [
        (bound(), HERE, True),
        (bound(), THERE, False),
        (bound(), "", False),
        (creating(), HERE, False),
        (rules.want(creating(), Desired.ABSENT, NOW), HERE, True),
        (rules.want(creating(), Desired.ABSENT, NOW), THERE, False),
        (leased(), HERE, False),
    ],
)
def test_not_found_means_gone_only_in_the_backend_that_was_journalled(
    assignment: Assignment, scope: str, expected: bool
) -> None:
    assert instance.gone(assignment, scope) is expected


def test_a_report_of_another_backend_says_nothing() -> None:
    seen = instance.observe(bound(), Observed.ABSENT, THERE, NOW + 1, NOW + 1)
    assert seen.observed is Observed.UNKNOWN


def test_an_old_report_is_ignored_and_a_clock_that_runs_ahead_silences_nobody() -> None:
    first = instance.observe(bound(), Observed.STOPPED, HERE, NOW + 10**9, NOW + 5)
    assert (first.observed, first.observed_at_ms) == (Observed.STOPPED, NOW + 5)
    late = instance.observe(first, Observed.RUNNING, HERE, NOW + 4, NOW + 6)
    assert late == first
    later = instance.observe(first, Observed.RUNNING, HERE, NOW + 7, NOW + 7)
    assert later.observed is Observed.RUNNING


def test_nothing_is_observed_of_ended_work() -> None:
    ended = rules.end(bound(), E.GONE, NOW)
    assert ended.desired is Desired.ABSENT
    assert instance.observe(ended, Observed.RUNNING, HERE, NOW + 9, NOW + 9) == ended
    assert replace(ended, state=S.BOUND).observed is Observed.ABSENT

"""Every pair of state and event of a reset, its deadlines, and what a contract may ask for."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from decent_cloud.domain.contracts.reset import (
    OPEN,
    REQUESTED_MS,
    RESET,
    WORKED_ON_MS,
    Reset,
    ResetEvent,
    ResetOpen,
    TooManyResets,
    check_limits,
    newest_list,
    step,
)
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.ids import Kid
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.status import ResetFailure, ResetOrigin, ResetState, ResetSubject
from tests.contracts.samples import reset

S, E = ResetState, ResetEvent
NOW = 10 * HOUR_MS
PASSWORD, SSH_KEYS = ResetSubject.PASSWORD, ResetSubject.SSH_KEYS

AFTER: dict[tuple[ResetState, ResetEvent], ResetState] = {
    (S.REQUESTED, E.CLAIMED): S.CLAIMED,
    (S.REQUESTED, E.DEADLINE_PASSED): S.EXPIRED,
    (S.REQUESTED, E.CONTRACT_ENDED): S.FAILED,
    (S.CLAIMED, E.APPLIED): S.APPLIED,
    (S.CLAIMED, E.FAILED): S.FAILED,
    (S.CLAIMED, E.DEADLINE_PASSED): S.FAILED,
    (S.CLAIMED, E.CONTRACT_ENDED): S.FAILED,
    (S.APPLIED, E.VERIFIED): S.VERIFIED,
    (S.APPLIED, E.FAILED): S.FAILED,
    (S.APPLIED, E.DEADLINE_PASSED): S.FAILED,
    (S.APPLIED, E.CONTRACT_ENDED): S.FAILED,
}


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
def test_every_pair_leads_where_its_row_says_or_is_refused(
    state: ResetState, event: ResetEvent
) -> None:
    before = reset(state=state)
    if (state, event) not in AFTER:
        with pytest.raises(IllegalTransition):
            step(before, event, NOW)
        return
    after = step(before, event, NOW, agent=Kid("k"))
    assert after.state is AFTER[state, event]
    assert after.state_since_ms == NOW
    assert after.deadline_ms == (NOW + WORKED_ON_MS if after.state in OPEN else 0)
    assert after.version == before.version


def test_open_ones_have_an_owner_and_a_deadline_and_ends_are_ends() -> None:
    assert set(RESET.keepers) == OPEN
    assert RESET.terminal() == set(S) - OPEN
    assert (REQUESTED_MS, WORKED_ON_MS) == (15 * MINUTE_MS, 60 * MINUTE_MS)


def test_an_end_says_why_and_a_step_on_the_way_does_not() -> None:
    claimed = step(reset(), E.CLAIMED, NOW, agent=Kid("k"))
    assert (claimed.agent, claimed.failure) == ("k", "")
    told = step(claimed, E.FAILED, NOW, failure=ResetFailure.REJECTED, detail="no such user")
    assert (told.failure, told.detail, told.agent) == ("rejected", "no such user", "k")
    assert step(claimed, E.DEADLINE_PASSED, NOW).failure == ResetFailure.TIMED_OUT
    assert step(claimed, E.CONTRACT_ENDED, NOW).failure == ResetFailure.CONTRACT_ENDED
    done = step(step(claimed, E.APPLIED, NOW), E.VERIFIED, NOW)
    assert (done.state, done.failure, done.deadline_ms) == (S.VERIFIED, "", 0)


def past(*minutes_ago: int, origin: ResetOrigin = ResetOrigin.TENANT) -> tuple[Reset, ...]:
    return tuple(
        reset(number=k, state=S.VERIFIED, origin=origin, requested_at_ms=NOW - ago * MINUTE_MS)
        for k, ago in enumerate(minutes_ago, 1)
    )


def test_one_is_open_at_a_time() -> None:
    for state in OPEN:
        with pytest.raises(ResetOpen):
            check_limits((replace(reset(), state=state),), PASSWORD, ResetOrigin.TENANT, NOW)


def test_three_an_hour_and_the_answer_says_when_the_next_may_come() -> None:
    check_limits(past(61, 59, 1), PASSWORD, ResetOrigin.TENANT, NOW)
    with pytest.raises(TooManyResets) as refused:
        check_limits(past(61, 59, 30, 1), PASSWORD, ResetOrigin.TENANT, NOW)
    assert refused.value.retry_after_s == 60


def test_a_provider_does_not_use_up_what_the_tenant_may_ask() -> None:
    check_limits(past(3, 2, 1, origin=ResetOrigin.PROVIDER), PASSWORD, ResetOrigin.TENANT, NOW)


def test_new_keys_and_new_passwords_do_not_use_up_each_other() -> None:
    check_limits(past(3, 2, 1), SSH_KEYS, ResetOrigin.TENANT, NOW)
    with pytest.raises(ResetOpen):
        check_limits((reset(),), SSH_KEYS, ResetOrigin.TENANT, NOW)


def test_the_newest_list_is_the_one_with_the_highest_number_whatever_became_of_it() -> None:
    lists = tuple(
        reset(number=k, n=k, subject=SSH_KEYS, state=S.FAILED, deadline_ms=0) for k in (2, 1)
    )
    assert newest_list((reset(number=9, n=9), *lists)) == lists[0]
    assert newest_list((reset(),)) is None

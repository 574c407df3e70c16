"""The life of a contract: every (state, event) pair, every deadline, and the clock of paid time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decent_cloud.domain.contracts import lifecycle
from decent_cloud.domain.contracts.contract import Contract, InstancePlan, Term
from decent_cloud.domain.contracts.effects import (
    BookPenalty,
    CheckReach,
    GiveBackStock,
    MoveTerms,
    OpenAssignment,
    RefundAll,
    RefundRest,
    ReleaseEarned,
    SetDesired,
    StartTerms,
    WatchSuspended,
)
from decent_cloud.domain.contracts.lifecycle import (
    CONTRACT,
    TERMINAL,
    ContractEvent,
    advance,
    event_at_deadline,
)
from decent_cloud.domain.contracts.served import served_ms, served_of_terms
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, OfferingId, PoolId, TermId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import AcceptMode, ContractState, Desired

S, E = ContractState, ContractEvent
NOW = 1_800_000_000_000
HOURS = 10
BEFORE_ACTIVE = (S.PENDING, S.ACCEPTED, S.PROVISIONING, S.PROVISIONED)
LIVE = (*BEFORE_ACTIVE, S.ACTIVE, S.LAPSED)
WORKED_ON = (S.ACCEPTED, S.PROVISIONING, S.PROVISIONED, S.ACTIVE, S.LAPSED)


def contract_in(state: ContractState, now_ms: int = NOW) -> Contract:
    """A contract that got to `state` by legal steps, all at `now_ms`."""
    contract = a_contract()
    paths: dict[ContractState, tuple[ContractEvent, ...]] = {
        S.REQUESTED: (),
        S.PENDING: (E.SETTLED,),
        S.ACCEPTED: (E.SETTLED, E.ACCEPTED),
        S.PROVISIONING: (E.SETTLED, E.ACCEPTED, E.CREATE_STARTED),
        S.PROVISIONED: (E.SETTLED, E.ACCEPTED, E.CREATE_STARTED, E.PROVISIONED),
        S.ACTIVE: (E.SETTLED, E.ACCEPTED, E.CREATE_STARTED, E.PROVISIONED, E.REACHED),
        S.LAPSED: (
            E.SETTLED,
            E.ACCEPTED,
            E.CREATE_STARTED,
            E.PROVISIONED,
            E.REACHED,
            E.TERM_ENDED,
        ),
    }
    for event in paths[state]:
        contract, _ = advance(contract, event, now_ms)
    return contract


def a_contract(*, mode: AcceptMode = AcceptMode.MANUAL, own: bool = False) -> Contract:
    return Contract(
        id=ContractId("c1"),
        digest=Digest("d" * 64),
        tenant=AccountId("a" * 64),
        provider=AccountId("b" * 64),
        offering=OfferingId("o1"),
        offering_title="Small",
        pool=PoolId("w1"),
        state=S.REQUESTED,
        state_since_ms=NOW,
        deadline_ms=NOW + lifecycle.REQUESTED_MS,
        created_at_ms=NOW,
        order="{}",
        offer_hash="",
        hours=HOURS,
        total_minor=100,
        asset=Asset.USD,
        plan=InstancePlan("img", 500, 256, 1, {}),
        accept_mode=mode,
        provision_timeout_s=1_800,
        penalty_ppm=0,
        renews=False,
        self_rental=own,
    )


def suspended_from(state: ContractState, now_ms: int = NOW) -> Contract:
    contract, _ = advance(contract_in(state, now_ms), E.SUSPENDED, now_ms)
    return contract


# What the design says, written again by hand: the table must say the same, and nothing more.
EXPECTED: dict[tuple[ContractState, ContractEvent], ContractState] = {
    (S.REQUESTED, E.SETTLED): S.PENDING,
    (S.REQUESTED, E.PAYMENT_EXPIRED): S.EXPIRED,
    (S.REQUESTED, E.DEADLINE_PASSED): S.EXPIRED,
    (S.PENDING, E.ACCEPTED): S.ACCEPTED,
    (S.PENDING, E.REJECTED): S.REJECTED,
    (S.PENDING, E.DEADLINE_PASSED): S.REJECTED,
    (S.ACCEPTED, E.CREATE_STARTED): S.PROVISIONING,
    (S.ACCEPTED, E.DEADLINE_PASSED): S.FAILED,
    (S.ACCEPTED, E.PROVISION_FAILED): S.FAILED,
    (S.PROVISIONING, E.PROVISIONED): S.PROVISIONED,
    (S.PROVISIONING, E.PROVISION_FAILED): S.FAILED,
    (S.PROVISIONING, E.DEADLINE_PASSED): S.FAILED,
    (S.PROVISIONED, E.REACHED): S.ACTIVE,
    (S.PROVISIONED, E.CONFIRMED): S.ACTIVE,
    (S.PROVISIONED, E.UNREACHABLE): S.FAILED,
    (S.PROVISIONED, E.DEADLINE_PASSED): S.FAILED,
    (S.PROVISIONED, E.GONE): S.FAILED,
    (S.ACTIVE, E.TERM_ENDED): S.LAPSED,
    (S.ACTIVE, E.EXTENDED): S.ACTIVE,
    (S.ACTIVE, E.GONE): S.FAILED,
    (S.LAPSED, E.EXTENDED): S.ACTIVE,
    (S.LAPSED, E.DEADLINE_PASSED): S.COMPLETED,
    (S.LAPSED, E.GONE): S.COMPLETED,
    (S.SUSPENDED, E.RESUMED): S.ACTIVE,
    (S.SUSPENDED, E.EXTENDED): S.SUSPENDED,
    (S.SUSPENDED, E.PROVISIONED): S.SUSPENDED,
    (S.SUSPENDED, E.PROVISION_FAILED): S.FAILED,
    (S.SUSPENDED, E.GONE): S.FAILED,
    (S.SUSPENDED, E.DEADLINE_PASSED): S.CANCELLED,
    **{(state, E.CANCELLED): S.CANCELLED for state in (S.REQUESTED, *LIVE, S.SUSPENDED)},
    **{(state, E.SUSPENDED): S.SUSPENDED for state in LIVE},
    **{(state, E.DISPUTE_LOST): S.CANCELLED for state in (*LIVE, S.SUSPENDED)},
    **{(state, E.TERMINATED): S.CANCELLED for state in (*WORKED_ON, S.SUSPENDED)},
}


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_every_pair_of_state_and_event_is_as_designed(
    state: ContractState, event: ContractEvent
) -> None:
    expected = EXPECTED.get((state, event))
    if expected is None:
        assert not CONTRACT.allows(state, event)
        with pytest.raises(IllegalTransition):
            CONTRACT.next(state, event)
    else:
        assert CONTRACT.next(state, event) is expected


def test_nothing_leaves_a_terminal_state() -> None:
    assert {S.COMPLETED, S.CANCELLED, S.REJECTED, S.EXPIRED, S.FAILED} == TERMINAL


def test_every_other_state_has_an_owner_and_a_deadline() -> None:
    assert set(CONTRACT.keepers) == set(S) - TERMINAL
    for state in set(S) - TERMINAL - {S.SUSPENDED}:
        assert contract_in(state).deadline_ms > NOW or state is S.LAPSED
        assert CONTRACT.allows(state, event_at_deadline(state))
    assert CONTRACT.allows(S.SUSPENDED, event_at_deadline(S.SUSPENDED))


@pytest.mark.parametrize(
    ("state", "wait_ms"),
    [
        (S.REQUESTED, 10 * MINUTE_MS),
        (S.PENDING, DAY_MS),
        (S.ACCEPTED, HOUR_MS),
        (S.PROVISIONING, 30 * MINUTE_MS),
        (S.PROVISIONED, DAY_MS),
        (S.ACTIVE, HOURS * HOUR_MS),
        (S.LAPSED, DAY_MS),
    ],
)
def test_a_state_waits_as_long_as_designed(state: ContractState, wait_ms: int) -> None:
    assert contract_in(state).deadline_ms == NOW + wait_ms


def test_a_suspension_lasts_seven_days_at_most() -> None:
    assert suspended_from(S.ACTIVE).deadline_ms == NOW + 7 * DAY_MS


@pytest.mark.parametrize(
    ("contract", "state"),
    [
        (a_contract(mode=AcceptMode.MANUAL), S.PENDING),
        (a_contract(mode=AcceptMode.AUTO), S.ACCEPTED),
        (a_contract(mode=AcceptMode.MANUAL, own=True), S.ACCEPTED),
    ],
)
def test_money_leads_to_the_provider_unless_it_accepts_by_itself(
    contract: Contract, state: ContractState
) -> None:
    after, effects = advance(contract, E.SETTLED, NOW)
    assert after.state is state
    assert effects == ((OpenAssignment(),) if state is S.ACCEPTED else ())


def test_an_instance_is_looked_at_before_paid_time_begins() -> None:
    provisioned, effects = advance(contract_in(S.PROVISIONING), E.PROVISIONED, NOW)
    assert effects == (CheckReach(),)
    assert provisioned.clock_from_ms == 0
    active, effects = advance(provisioned, E.REACHED, NOW + 5)
    assert active.clock_from_ms == active.active_since_ms == NOW + 5
    assert active.paid_until_ms == NOW + 5 + HOURS * HOUR_MS
    assert effects == (StartTerms(), SetDesired(Desired.RUNNING))


@pytest.mark.parametrize("state", BEFORE_ACTIVE)
@pytest.mark.parametrize("event", [E.CANCELLED, E.DISPUTE_LOST])
def test_an_end_before_active_gives_everything_back(
    state: ContractState, event: ContractEvent
) -> None:
    after, effects = advance(contract_in(state), event, NOW + 1)
    assert after.state is S.CANCELLED
    assert after.deadline_ms == 0
    assert after.ended_at_ms == NOW + 1
    expected = [GiveBackStock()]
    assert list(effects[:1]) == expected
    assert RefundAll(event.value) in effects
    assert ReleaseEarned() not in effects
    assert (SetDesired(Desired.ABSENT) in effects) == (state is not S.PENDING)


def test_an_unpaid_end_moves_no_money() -> None:
    after, effects = advance(contract_in(S.REQUESTED), E.DEADLINE_PASSED, NOW)
    assert after.state is S.EXPIRED
    assert effects == (GiveBackStock(),)


@pytest.mark.parametrize("event", [E.CANCELLED, E.TERMINATED, E.GONE])
def test_an_end_in_active_releases_first_then_gives_the_rest_back(event: ContractEvent) -> None:
    at_ms = NOW + 3 * HOUR_MS
    after, effects = advance(contract_in(S.ACTIVE), event, at_ms, reason="enough")
    assert after.served_ms == 3 * HOUR_MS
    assert after.clock_from_ms == 0
    assert after.end_reason == "enough"
    assert effects.index(ReleaseEarned()) < effects.index(RefundRest("enough"))
    assert effects.index(GiveBackStock()) == 0
    assert SetDesired(Desired.ABSENT) in effects
    assert (BookPenalty() in effects) == (event is E.TERMINATED)


def test_served_time_stops_at_the_paid_end_however_late_it_is_noticed() -> None:
    late_ms = NOW + HOURS * HOUR_MS + 12 * MINUTE_MS
    lapsed, effects = advance(contract_in(S.ACTIVE), E.TERM_ENDED, late_ms)
    assert lapsed.served_ms == HOURS * HOUR_MS
    assert lapsed.deadline_ms == late_ms + DAY_MS
    assert effects == (ReleaseEarned(), SetDesired(Desired.STOPPED))


def test_a_suspension_stops_clock_and_deadline_and_resuming_goes_on_from_there() -> None:
    suspended, effects = advance(contract_in(S.ACTIVE), E.SUSPENDED, NOW + 2 * HOUR_MS)
    assert suspended.served_ms == 2 * HOUR_MS
    assert suspended.resume_to == "active"
    assert effects == (SetDesired(Desired.STOPPED), WatchSuspended())
    resumed, effects = advance(suspended, E.RESUMED, NOW + 5 * HOUR_MS)
    assert resumed.state is S.ACTIVE
    assert resumed.paid_until_ms == resumed.deadline_ms == NOW + (HOURS + 3) * HOUR_MS
    assert resumed.suspended_ms == 3 * HOUR_MS
    assert resumed.resume_to == ""
    assert effects == (
        MoveTerms(NOW + 2 * HOUR_MS, 3 * HOUR_MS),
        SetDesired(Desired.RUNNING),
    )
    end_ms = resumed.paid_until_ms
    assert served_ms(resumed, end_ms + 1) == HOURS * HOUR_MS


@pytest.mark.parametrize("state", LIVE)
def test_resuming_leads_back_to_where_it_was_with_the_time_that_was_left(
    state: ContractState,
) -> None:
    before = contract_in(state)
    suspended, _ = advance(before, E.SUSPENDED, NOW + MINUTE_MS)
    resumed, effects = advance(suspended, E.RESUMED, NOW + DAY_MS)
    assert resumed.state is state
    assert resumed.deadline_ms - (NOW + DAY_MS) == before.deadline_ms - (NOW + MINUTE_MS)
    runs = state not in {S.PENDING, S.LAPSED}
    assert (SetDesired(Desired.RUNNING) in effects) == runs


def test_a_create_that_ends_during_a_suspension_is_looked_at_after_it() -> None:
    made, effects = advance(suspended_from(S.PROVISIONING), E.PROVISIONED, NOW + MINUTE_MS)
    assert made.state is S.SUSPENDED
    assert made.resume_to == "provisioned"
    assert effects == (CheckReach(),)
    resumed, _ = advance(made, E.RESUMED, NOW + HOUR_MS)
    assert resumed.state is S.PROVISIONED
    assert resumed.deadline_ms == NOW + HOUR_MS + DAY_MS


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (S.PENDING, E.PROVISIONED),
        (S.ACTIVE, E.PROVISIONED),
        (S.PENDING, E.EXTENDED),
        (S.PROVISIONED, E.EXTENDED),
        (S.ACTIVE, E.PROVISION_FAILED),
    ],
)
def test_a_suspended_contract_takes_only_what_its_former_state_knows(
    state: ContractState, event: ContractEvent
) -> None:
    with pytest.raises(IllegalTransition):
        advance(suspended_from(state), event, NOW, hours=1)


def test_an_extension_begins_where_the_last_term_ends() -> None:
    longer, effects = advance(contract_in(S.ACTIVE), E.EXTENDED, NOW + HOUR_MS, hours=5)
    assert longer.paid_until_ms == longer.deadline_ms == NOW + (HOURS + 5) * HOUR_MS
    assert longer.clock_from_ms == NOW
    assert longer.state_since_ms == NOW
    assert effects == (StartTerms(), SetDesired(Desired.RUNNING))


def test_an_extension_of_a_lapsed_contract_begins_now() -> None:
    end_ms = NOW + HOURS * HOUR_MS
    lapsed, _ = advance(contract_in(S.ACTIVE), E.TERM_ENDED, end_ms)
    at_ms = end_ms + 7 * HOUR_MS
    again, effects = advance(lapsed, E.EXTENDED, at_ms, hours=5)
    assert again.state is S.ACTIVE
    assert again.paid_until_ms == at_ms + 5 * HOUR_MS
    assert again.served_ms == HOURS * HOUR_MS
    assert served_ms(again, at_ms + 2 * HOUR_MS) == (HOURS + 2) * HOUR_MS
    assert effects == (StartTerms(), SetDesired(Desired.RUNNING))


def test_an_extension_in_the_grace_after_an_outage_loses_no_time() -> None:
    """The paid end passed while the platform slept, its deadline was moved, and now more is paid."""
    graced = replace(contract_in(S.ACTIVE), deadline_ms=NOW + 20 * HOUR_MS)
    at_ms = NOW + 15 * HOUR_MS
    longer, _ = advance(graced, E.EXTENDED, at_ms, hours=4)
    assert longer.paid_until_ms == at_ms + 4 * HOUR_MS
    assert longer.served_ms == HOURS * HOUR_MS
    assert served_ms(longer, at_ms + 4 * HOUR_MS) == (HOURS + 4) * HOUR_MS


@pytest.mark.parametrize("state", [S.ACTIVE, S.LAPSED])
def test_an_extension_during_a_suspension_runs_after_it(state: ContractState) -> None:
    start_ms = NOW if state is S.ACTIVE else NOW - HOURS * HOUR_MS
    contract = contract_in(S.ACTIVE, start_ms)
    if state is S.LAPSED:
        contract, _ = advance(contract, E.TERM_ENDED, NOW)
    suspended, _ = advance(contract, E.SUSPENDED, NOW + MINUTE_MS)
    longer, _ = advance(suspended, E.EXTENDED, NOW + HOUR_MS, hours=3)
    assert longer.state is S.SUSPENDED
    assert longer.deadline_ms == suspended.deadline_ms
    back_ms = NOW + DAY_MS
    resumed, _ = advance(longer, E.RESUMED, back_ms)
    assert resumed.state is S.ACTIVE
    left_ms = HOURS * HOUR_MS - MINUTE_MS if state is S.ACTIVE else 0
    assert resumed.paid_until_ms == back_ms + left_ms + 3 * HOUR_MS
    assert resumed.deadline_ms == resumed.paid_until_ms


def test_an_illegal_event_says_what_stands_in_its_way() -> None:
    with pytest.raises(IllegalTransition) as refused:
        advance(contract_in(S.PENDING), E.REACHED, NOW)
    assert refused.value.details == {"state": "pending", "event": "reached"}
    assert "pending" in refused.value.message


# Half of the steps are drawn from what the table allows, else most walks would end at the first wall.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 10_000), st.integers(0, 3 * HOUR_MS), st.integers(1, 4), st.booleans()
    ),
    max_size=30,
)


@settings(max_examples=400)
@given(STEPS, st.sampled_from([AcceptMode.AUTO, AcceptMode.MANUAL]))
def test_any_walk_keeps_served_time_inside_what_was_paid(
    walk: list[tuple[int, int, int, bool]], mode: AcceptMode
) -> None:
    contract, now_ms, paid_hours, served_before = a_contract(mode=mode), NOW, 0, 0
    for pick, wait_ms, hours, legal in walk:
        now_ms += wait_ms
        possible = [e for e in E if CONTRACT.allows(contract.state, e)] if legal else list(E)
        if not possible:
            break
        event = possible[pick % len(possible)]
        try:
            after, effects = advance(contract, event, now_ms, hours=hours)
        except IllegalTransition:
            continue
        if event is E.EXTENDED:
            paid_hours += hours
        if StartTerms() in effects and event is not E.EXTENDED:
            paid_hours += HOURS
        assert (after.deadline_ms > 0) == (after.state not in TERMINAL)
        assert (after.clock_from_ms > 0) == (after.state is S.ACTIVE)
        assert (after.resume_to != "") == (after.state is S.SUSPENDED)
        served = served_ms(after, now_ms)
        assert served_before <= served <= paid_hours * HOUR_MS
        assert effects.count(GiveBackStock()) == (1 if after.state in TERMINAL else 0)
        contract, served_before = after, served
    if contract.state is S.ACTIVE:
        left_ms = max(0, contract.paid_until_ms - now_ms)
        assert served_ms(contract, contract.paid_until_ms + DAY_MS) == (
            served_ms(contract, now_ms) + left_ms
        )


def test_terms_fill_in_their_order() -> None:
    terms = tuple(
        Term(
            id=TermId(f"c1.{n}"),
            contract=ContractId("c1"),
            ordinal=n,
            hours=2,
            asset=Asset.USD,
            amount_minor=10,
            fee_ppm=0,
            order="{}",
            digest=Digest(str(n) * 64),
            paid=n != 2,
        )
        for n in (1, 2, 3)
    )
    assert served_of_terms(terms, 3 * HOUR_MS) == (2 * HOUR_MS, 0, HOUR_MS)

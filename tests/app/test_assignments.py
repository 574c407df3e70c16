"""Agents at work: leases and fences, reports on time and late, losers, and what counts as gone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.app import assignments, contracts, pool_log, reports
from decent_cloud.app.agents import AgentNotAllowed
from decent_cloud.app.contracts import NotYourSide
from decent_cloud.app.credentials import CredentialConflict
from decent_cloud.domain.contracts.assignment import LeaseLost, LeaseTaken, NotWanted, WrongScope
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.keys.credentials import (
    Expected,
    open_credential,
    parse_sealed,
)
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.status import AssignmentState, ContractState, Desired, Observed
from decent_cloud.wire.v1.assignments import (
    QuarantinedReport,
    TakeLease,
    TerminatedReport,
    TrafficReport,
)
from tests.support.usecases import SCOPE, Agent, Member, Shop, Usecases, failed


@pytest.fixture
def shop(use: Usecases) -> Shop:
    return use.shop()


@pytest.fixture
def tenant(use: Usecases) -> Member:
    return use.account()


def rented(use: Usecases, shop: Shop, tenant: Member) -> Any:
    return use.paid(tenant, use.offering(shop))


def desired_of(use: Usecases, agent: Agent, pin: int = 0) -> assignments.PoolDesired:
    return use.read(lambda uow: assignments.desired(uow, agent.caller, pin, use.now_ms))


def test_a_paid_order_is_work_for_the_pool_and_the_report_ends_it(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    (work,) = use.read(
        lambda uow: assignments.pending_provision(uow, shop.agent.caller, shop.owner.id, use.now_ms)
    )
    assert (work.contract.id, work.next_n) == (contract.id, 1)
    assert work.assignment.state is AssignmentState.OPEN
    done = use.provision(shop.agent, tenant, contract)
    assert done.contract.state is ContractState.PROVISIONED
    assert done.contract.host == "198.51.100.7"
    assert (done.assignment.state, done.assignment.desired) == (
        AssignmentState.BOUND,
        Desired.RUNNING,
    )
    assert [row.event for row in use.history(contract)] == [
        "ordered",
        "settled",
        "create_started",
        "provisioned",
    ]


def test_the_tenant_opens_what_the_agent_sealed_and_nobody_else_gets_it(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    use.provision(shop.agent, tenant, contract)
    _, sealed = use.read(lambda uow: contracts.read_credential(uow, tenant.caller, contract.id))
    expected = Expected(tenant.id, contract.digest, shop.owner.chain, {shop.agent.keys.kid})
    credential = open_credential(parse_sealed(sealed.outer.encode()), tenant.seed, expected)
    assert credential.access.password == "canary"
    assert "canary" not in sealed.outer
    with pytest.raises(NotYourSide):
        use.read(lambda uow: contracts.read_credential(uow, shop.owner.caller, contract.id))
    with pytest.raises(NotFound):
        use.read(lambda uow: contracts.read_credential(uow, use.account().caller, contract.id))


def test_the_same_report_again_changes_nothing(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    success = use.success(shop.agent, tenant, contract, fence)
    first = use.report(shop.agent, contract, success)
    again = use.report(shop.agent, contract, success)
    assert again == first
    assert len(use.history(contract)) == 4


def test_of_two_credentials_with_one_number_the_first_stays(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    with pytest.raises(CredentialConflict):
        use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence, n=2))
    _, sealed = use.read(lambda uow: contracts.read_credential(uow, tenant.caller, contract.id))
    assert sealed.n == 2


def test_a_credential_for_a_generation_that_does_not_exist_is_refused(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    report: Any = use.success(shop.agent, tenant, contract, fence)
    wire = convert(
        {"ct": report.credential.ct, "gen": 2, "n": 1, "suite": 1, "v": 1}, type(report.credential)
    )
    body = {name: getattr(report, name) for name in report.__struct_fields__}
    with pytest.raises(Invalid) as refused:
        use.report(shop.agent, contract, type(report)(**(body | {"credential": wire})))
    assert refused.value.field == "credential.gen"
    assert use.contract(contract).state is ContractState.PROVISIONING


def test_two_agents_get_one_contract_and_the_loser_is_told(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    other = use.agent(shop.owner, shop.pool.id, scope="engine-2")
    contract = rented(use, shop, tenant)
    first = use.lease(shop.agent, contract)
    with pytest.raises(LeaseTaken):
        use.lease(other, contract)
    use.wait(MINUTE_MS)
    second = use.lease(other, contract)
    assert second.fence == first.fence + 1
    use.start_create(other, contract, second.fence)
    with pytest.raises(LeaseLost):
        use.start_create(shop.agent, contract, first.fence)
    with pytest.raises(LeaseLost):
        use.renew(shop.agent, contract, first.fence)
    late = use.success(shop.agent, tenant, contract, first.fence)
    with pytest.raises(LeaseLost):
        use.report(shop.agent, contract, late)
    with pytest.raises(LeaseLost):
        use.report(shop.agent, contract, failed(first.fence))
    assert use.contract(contract).state is ContractState.PROVISIONING
    quarantined = QuarantinedReport(scope=SCOPE, instance="dc-mine", detail="lost the lease")
    answer = use.report(shop.agent, contract, quarantined)
    assert answer.assignment.desired is Desired.RUNNING
    kinds = [
        event.kind
        for event in use.read(
            lambda uow: uow.outbox.read_stream(f"account/{shop.owner.id}", 0, 100)
        )
    ]
    assert kinds[-1] == "quarantined"


def test_after_a_create_began_only_the_same_backend_goes_on(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    elsewhere = use.agent(shop.owner, shop.pool.id, scope="engine-2")
    beside = use.agent(shop.owner, shop.pool.id, scope=SCOPE)
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    use.wait(16 * MINUTE_MS)
    with pytest.raises(WrongScope):
        use.lease(elsewhere, contract)
    taken = use.lease(beside, contract)
    assert taken.state is AssignmentState.CREATE_STARTED
    use.start_create(beside, contract, taken.fence)
    with pytest.raises(LeaseLost):
        use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    done = use.report(beside, contract, use.success(beside, tenant, contract, taken.fence))
    assert done.contract.state is ContractState.PROVISIONED


def test_a_killed_agent_goes_on_with_the_fence_it_journalled(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    use.wait(10 * MINUTE_MS)
    assert use.renew(shop.agent, contract, fence).fence == fence
    assert use.start_create(shop.agent, contract, fence).fence == fence
    done = use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    assert done.contract.state is ContractState.PROVISIONED


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_a_late_success_is_answered_with_what_is_wanted_now(
    use: Usecases, shop: Shop, tenant: Member, how: str
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    if how == "cancelled":
        use.cancel(tenant, contract)
    else:
        use.wait(30 * MINUTE_MS)
        use.deadlines()
    assert [refund.amount_minor for refund in use.refunds(contract)] == [100]
    late = use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    assert late.contract.state in {ContractState.CANCELLED, ContractState.FAILED}
    assert (late.assignment.state, late.assignment.desired) == (
        AssignmentState.BOUND,
        Desired.ABSENT,
    )
    with pytest.raises(NotFound):
        use.read(lambda uow: contracts.read_credential(uow, tenant.caller, contract.id))
    gone = use.report(shop.agent, contract, TerminatedReport(scope=SCOPE))
    assert gone.assignment.state is AssignmentState.ENDED
    assert len(use.refunds(contract)) == 1


def test_cancelled_before_a_create_there_is_nothing_to_do(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.lease(shop.agent, contract).fence
    use.cancel(tenant, contract)
    assert use.assignment(contract).state is AssignmentState.ENDED
    with pytest.raises((LeaseLost, NotWanted)):
        use.start_create(shop.agent, contract, fence)
    assert desired_of(use, shop.agent).items == ()


@pytest.mark.parametrize("started", [True, False])
def test_a_failure_gives_the_money_back_and_frees_the_unit(
    use: Usecases, shop: Shop, tenant: Member, started: bool
) -> None:
    offering = use.offering(shop)
    contract = use.paid(tenant, offering)
    fence = use.creating(shop.agent, contract) if started else use.lease(shop.agent, contract).fence
    answers = [use.report(shop.agent, contract, failed(fence)) for _ in range(2)]
    for answer in answers:
        assert answer.contract.state is ContractState.FAILED
        assert answer.contract.end_reason == "no_capacity"
        assert answer.assignment.state is AssignmentState.ENDED
    assert [refund.amount_minor for refund in use.refunds(contract)] == [100]
    assert use.free_units(offering) == 3


def test_what_a_failure_leaves_behind_stays_unwanted_work(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    answer = use.report(shop.agent, contract, failed(fence, left_behind="dc-1"))
    assert answer.contract.state is ContractState.FAILED
    assert (answer.assignment.state, answer.assignment.desired) == (
        AssignmentState.CREATE_STARTED,
        Desired.ABSENT,
    )
    elsewhere = use.report(shop.agent, contract, TerminatedReport(scope="engine-2"))
    assert elsewhere.assignment.state is AssignmentState.CREATE_STARTED
    gone = use.report(shop.agent, contract, TerminatedReport(scope=SCOPE))
    assert gone.assignment.state is AssignmentState.ENDED


def test_a_success_in_another_backend_than_the_one_that_was_allowed_is_refused(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    shop.agent.scope = "engine-2"
    with pytest.raises(WrongScope):
        use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    assert use.contract(contract).state is ContractState.PROVISIONING


def test_the_machine_on_record_may_be_put_aside(use: Usecases, shop: Shop, tenant: Member) -> None:
    active = use.active(shop, tenant, use.offering(shop))
    use.wait(1)
    aside = QuarantinedReport(scope=SCOPE, instance=f"dc-{active.id}", detail="two found")
    answer = use.report(shop.agent, active, aside)
    assert answer.assignment.observed is Observed.QUARANTINED
    assert answer.contract.state is ContractState.ACTIVE


def test_a_credential_is_for_the_generation_that_counts_when_a_device_is_stolen(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    use.rotate(tenant, {tenant.keys.kid})
    done = use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    assert done.contract.state is ContractState.PROVISIONED
    left = tenant.caller_of(tenant.recovery, 0)
    _, sealed = use.read(lambda uow: contracts.read_credential(uow, left, contract.id))
    assert sealed.gen == 2


def test_a_failure_after_a_success_is_refused(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = rented(use, shop, tenant)
    use.provision(shop.agent, tenant, contract)
    with pytest.raises(IllegalTransition):
        use.report(shop.agent, contract, failed(use.assignment(contract).fence))
    assert use.contract(contract).state is ContractState.PROVISIONED


def test_an_instance_that_is_gone_ends_the_contract_pro_rata(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    active = use.active(shop, tenant, use.offering(shop))
    use.wait(4 * HOUR_MS)
    answer = use.health(shop.agent, active, Observed.ABSENT)
    assert answer.contract.state is ContractState.FAILED
    assert answer.contract.end_reason == "instance gone"
    assert answer.assignment.state is AssignmentState.ENDED
    assert [refund.amount_minor for refund in use.refunds(active)] == [60]


def test_traffic_counts_only_from_the_backend_of_the_machine_on_record(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    stranger = use.agent(shop.owner, shop.pool.id, scope="engine-2")
    active = use.active(shop, tenant, use.offering(shop))
    for agent, sent in ((shop.agent, 5), (stranger, 70), (shop.agent, 7)):
        told = TrafficReport(received_bytes=1, sent_bytes=sent, since_ms=3)
        use.health(agent, active, Observed.RUNNING, told)
    found = use.read(lambda uow: contracts.traffic(uow, tenant.caller, active.id))
    assert found is not None
    assert (found.received_bytes, found.sent_bytes, found.first_ms) == (1, 7, 3)


def test_a_foreign_backend_that_finds_nothing_ends_nothing(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    stranger = use.agent(shop.owner, shop.pool.id, scope="engine-2")
    active = use.active(shop, tenant, use.offering(shop))
    use.wait(HOUR_MS)
    answer = use.health(stranger, active, Observed.ABSENT)
    assert answer.contract.state is ContractState.ACTIVE
    assert answer.assignment.observed is Observed.UNKNOWN
    answer = use.report(stranger, active, TerminatedReport(scope="engine-2"))
    assert answer.contract.state is ContractState.ACTIVE
    assert use.health(shop.agent, active, Observed.RUNNING).assignment.observed is Observed.RUNNING


def test_an_empty_look_during_a_create_proves_nothing(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    use.creating(shop.agent, contract)
    use.wait(1)
    assert use.health(shop.agent, contract, Observed.ABSENT).contract.state is (
        ContractState.PROVISIONING
    )
    answer = use.report(shop.agent, contract, TerminatedReport(scope=SCOPE))
    assert answer.assignment.state is AssignmentState.CREATE_STARTED


def test_a_suspended_contract_is_stopped_and_its_create_is_still_taken_in(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.creating(shop.agent, contract)
    use.step(contract, ContractEvent.SUSPENDED)
    (work,) = desired_of(use, shop.agent).items
    assert work.assignment.desired is Desired.STOPPED
    done = use.report(shop.agent, contract, use.success(shop.agent, tenant, contract, fence))
    assert done.contract.state is ContractState.SUSPENDED
    assert done.assignment.desired is Desired.STOPPED
    back = use.step(contract, ContractEvent.RESUMED)
    assert back.state is ContractState.PROVISIONED
    assert use.assignment(contract).desired is Desired.RUNNING


def test_nothing_is_begun_for_a_suspended_contract(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = rented(use, shop, tenant)
    fence = use.lease(shop.agent, contract).fence
    use.step(contract, ContractEvent.SUSPENDED)
    with pytest.raises(NotWanted):
        use.start_create(shop.agent, contract, fence)
    use.step(contract, ContractEvent.RESUMED)
    assert use.start_create(shop.agent, contract, fence).state is AssignmentState.CREATE_STARTED


def test_an_agent_sees_its_own_pool_only(use: Usecases, shop: Shop, tenant: Member) -> None:
    other = use.pool(shop.owner, "other")
    neighbour = use.agent(shop.owner, other.id)
    foreign = use.shop().agent
    contract = rented(use, shop, tenant)
    for agent in (neighbour, foreign):
        assert desired_of(use, agent).items == ()
        with pytest.raises(NotFound):
            use.lease(agent, contract)
    with pytest.raises(NotFound):
        use.read(
            lambda uow: assignments.pending_provision(
                uow, foreign.caller, shop.owner.id, use.now_ms
            )
        )


def test_permissions_are_asked_for_one_by_one(use: Usecases, shop: Shop, tenant: Member) -> None:
    watcher = use.agent(shop.owner, shop.pool.id, ("fetch_contracts",))
    contract = rented(use, shop, tenant)
    assert len(desired_of(use, watcher).items) == 1
    with pytest.raises(AgentNotAllowed):
        use.lease(watcher, contract)
    with pytest.raises(AgentNotAllowed):
        use.health(watcher, contract, Observed.RUNNING)
    with pytest.raises(AgentNotAllowed):
        use.write(
            lambda uow: assignments.take_lease(
                uow, shop.owner.caller, contract.id, TakeLease(scope="x"), use.now_ms
            )
        )


def test_every_change_of_what_is_wanted_is_chained_into_the_pools_log(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    active = use.active(shop, tenant, use.offering(shop))
    before = desired_of(use, shop.agent)
    use.step(active, ContractEvent.SUSPENDED)
    use.step(active, ContractEvent.RESUMED)
    use.cancel(tenant, active)
    after = desired_of(use, shop.agent, pin=before.pool.log_seq)
    assert after.pin_hash == before.pool.log_hash
    assert after.pool.log_seq == before.pool.log_seq + 3
    assert desired_of(use, shop.agent, pin=after.pool.log_seq + 1).pin_hash == ""
    assert after.items[0].assignment.desired is Desired.ABSENT
    entry = pool_log.entry_bytes(after.items[0].contract, Desired.ABSENT, "ab", 7)
    assert json.loads(entry)["desired"] == "absent"
    assert pool_log.entry_hash(entry) != pool_log.entry_hash(entry + b" ")


def test_the_log_can_be_walked_from_its_beginning(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.active(shop, tenant, use.offering(shop))
    pool = desired_of(use, shop.agent).pool
    assert pool.log_seq == 2
    hashes = [
        use.read(lambda uow, seq=seq: uow.providers.log_hash(pool.id, seq))  # type: ignore[misc]
        for seq in (1, 2)
    ]
    accepted = replace(contract, state=ContractState.ACCEPTED, paid_until_ms=0)
    first = pool_log.entry_hash(pool_log.entry_bytes(accepted, Desired.RUNNING, "", 1))
    second = pool_log.entry_hash(pool_log.entry_bytes(contract, Desired.RUNNING, first, 2))
    assert hashes == [first, second]


def test_agents_are_woken_by_what_concerns_their_pool(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.active(shop, tenant, use.offering(shop))
    use.cancel(tenant, contract)
    events = use.read(lambda uow: uow.outbox.read_stream(f"pool/{shop.pool.id}", 0, 100))
    assert [(event.kind, event.subject) for event in events] == [
        ("offering", ""),  # what is on offer in the pool changed
        ("running", contract.id),
        ("running", contract.id),
        ("absent", contract.id),
    ]


def test_reports_say_who_they_are_from(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = rented(use, shop, tenant)
    use.provision(shop.agent, tenant, contract)
    row = use.history(contract)[-1]
    assert row.actor == f"agent/{shop.agent.keys.kid}"
    assert row.evidence == f"scope {SCOPE}, instance dc-{contract.id}"
    assert isinstance(
        use.report(shop.agent, contract, TerminatedReport(scope="x")), reports.Reported
    )

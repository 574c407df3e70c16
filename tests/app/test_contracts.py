"""Contracts: what each side may do, and what happens by itself when a deadline passes."""

from __future__ import annotations

import pytest

from decent_cloud.app import contracts, platform, views
from decent_cloud.app.contracts import NotYourSide
from decent_cloud.app.platform import WrongMode, WrongPlatform
from decent_cloud.app.ports.processors import ChargeState
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.paging import PageRequest
from decent_cloud.kernel.status import ContractState, Desired, ServerMode
from decent_cloud.wire.v1.contracts import EndContract
from tests.support.usecases import Member, Shop, Usecases

WHY = EndContract(reason="no more power")


@pytest.fixture
def shop(use: Usecases) -> Shop:
    return use.shop()


@pytest.fixture
def tenant(use: Usecases) -> Member:
    return use.account()


def refunded(use: Usecases, contract: Contract) -> int:
    return sum(refund.amount_minor for refund in use.refunds(contract))


def balance(use: Usecases, name: str) -> int:
    rows = use.read(lambda uow: uow.ledger.balances(""))
    return next((row.balance_minor for row in rows if row.account.name == name), 0)


def test_a_provider_that_wants_to_be_asked_is_asked(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.paid(tenant, use.offering(shop, accept_mode="manual"))
    assert contract.state is ContractState.PENDING
    with pytest.raises(NotYourSide):
        use.write(lambda uow: contracts.accept(uow, tenant.caller, contract.id, use.now_ms))
    accepted = use.write(
        lambda uow: contracts.accept(uow, shop.owner.caller, contract.id, use.now_ms)
    )
    assert accepted.state is ContractState.ACCEPTED
    with pytest.raises(IllegalTransition):
        use.write(lambda uow: contracts.accept(uow, shop.owner.caller, contract.id, use.now_ms))


def test_a_rejected_order_is_given_back_whole(use: Usecases, shop: Shop, tenant: Member) -> None:
    offering = use.offering(shop, accept_mode="manual")
    contract = use.paid(tenant, offering)
    rejected = use.write(
        lambda uow: contracts.reject(uow, shop.owner.caller, contract.id, WHY, use.now_ms)
    )
    assert (rejected.state, rejected.end_reason) == (ContractState.REJECTED, "no more power")
    assert refunded(use, contract) == 100
    assert use.free_units(offering) == 3


def test_a_provider_that_ends_early_pays_the_stated_penalty(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    active = use.active(shop, tenant, use.offering(shop, penalty_ppm=100_000))
    use.wait(4 * HOUR_MS)
    with pytest.raises(NotYourSide):
        use.write(lambda uow: contracts.terminate(uow, tenant.caller, active.id, WHY, use.now_ms))
    ended = use.write(
        lambda uow: contracts.terminate(uow, shop.owner.caller, active.id, WHY, use.now_ms)
    )
    assert ended.state is ContractState.CANCELLED
    assert refunded(use, active) == 60
    assert balance(use, f"credit/{tenant.id}") == 6
    assert use.assignment(active).desired is Desired.ABSENT


def test_a_tenant_may_say_itself_that_the_machine_answers(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.paid(tenant, use.offering(shop))
    use.provision(shop.agent, tenant, contract)
    with pytest.raises(NotYourSide):
        use.write(lambda uow: contracts.confirm(uow, shop.owner.caller, contract.id, use.now_ms))
    active = use.write(lambda uow: contracts.confirm(uow, tenant.caller, contract.id, use.now_ms))
    assert active.state is ContractState.ACTIVE
    (term,) = use.terms(contract)
    assert (term.from_ms, term.to_ms) == (use.now_ms, use.now_ms + 10 * HOUR_MS)


def test_a_contract_is_nobody_elses_business(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = use.paid(tenant, use.offering(shop))
    stranger = use.account()
    with pytest.raises(NotFound):
        use.read(lambda uow: contracts.read_contract(uow, stranger.caller, contract.id))
    with pytest.raises(NotFound):
        use.cancel(stranger, contract)
    for caller in (tenant.caller, shop.owner.caller):
        assert use.read(lambda uow, c=caller: contracts.history(uow, c, contract.id))  # type: ignore[misc]
    page = PageRequest()
    rented = use.read(lambda uow: contracts.list_rented(uow, tenant.caller, page))
    provided = use.read(lambda uow: contracts.list_provided(uow, shop.owner.caller, (), page))
    assert [row.id for row in rented.items] == [row.id for row in provided.items] == [contract.id]


def test_a_cancelled_contract_cannot_be_cancelled_again(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    active = use.active(shop, tenant, use.offering(shop))
    use.wait(5 * HOUR_MS)
    use.cancel(tenant, active)
    with pytest.raises(IllegalTransition):
        use.cancel(tenant, active)
    assert refunded(use, active) == 50


@pytest.mark.parametrize(
    ("mode", "wait_ms", "state", "back"),
    [
        ("unpaid", 10 * MINUTE_MS, ContractState.EXPIRED, 0),
        ("manual", DAY_MS, ContractState.REJECTED, 100),
        ("auto", HOUR_MS, ContractState.FAILED, 100),
    ],
)
def test_what_nobody_moves_on_ends_by_itself(
    use: Usecases,
    shop: Shop,
    tenant: Member,
    mode: str,
    wait_ms: int,
    state: ContractState,
    back: int,
) -> None:
    accept = "auto" if mode == "unpaid" else mode
    offering = use.offering(shop, accept_mode=accept)
    contract = use.order(tenant, offering)
    if mode != "unpaid":
        use.charge(contract)
    use.wait(wait_ms - 1)
    use.deadlines()
    assert not use.contract(contract).ended_at_ms
    use.wait(1)
    use.deadlines()
    assert use.contract(contract).state is state
    assert refunded(use, contract) == back
    assert use.free_units(offering) == 3


def test_an_order_whose_money_is_looked_at_waits_for_that(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.order(tenant, use.offering(shop))
    use.charge(contract, received_minor=99)
    use.wait(HOUR_MS)
    moved = use.write(lambda uow: contracts.apply_deadline(uow, contract.id, use.now_ms))
    assert not moved
    assert use.contract(contract).state is ContractState.REQUESTED


def test_a_rental_runs_to_its_end_lapses_and_completes(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    offering = use.offering(shop)
    active = use.active(shop, tenant, offering)
    use.wait(10 * HOUR_MS)
    use.deadlines()
    lapsed = use.contract(active)
    assert lapsed.state is ContractState.LAPSED
    assert use.assignment(active).desired is Desired.STOPPED
    use.wait(DAY_MS)
    use.deadlines()
    assert use.contract(active).state is ContractState.COMPLETED
    assert use.assignment(active).desired is Desired.ABSENT
    assert refunded(use, active) == 0
    assert balance(use, f"payable/{shop.owner.id}") == 98
    assert balance(use, "income/platform_fee") == 2
    assert use.free_units(offering) == 3


def test_a_lapsed_rental_comes_back_when_more_is_paid(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    offering = use.offering(shop)
    active = use.active(shop, tenant, offering)
    use.wait(12 * HOUR_MS)
    use.deadlines()
    use.beat(shop.agent)
    use.extend(tenant, active, offering, hours=3)
    use.charge(active)
    back = use.contract(active)
    assert back.state is ContractState.ACTIVE
    assert back.paid_until_ms == use.now_ms + 3 * HOUR_MS
    assert use.terms(active)[1].from_ms == use.now_ms
    assert use.assignment(active).desired is Desired.RUNNING


def test_a_dispute_stops_everything_and_its_end_decides(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    active = use.active(shop, tenant, use.offering(shop))
    use.wait(2 * HOUR_MS)
    use.charge(active, ChargeState.DISPUTED)
    assert use.contract(active).state is ContractState.SUSPENDED
    assert use.assignment(active).desired is Desired.STOPPED
    use.wait(DAY_MS)
    use.charge(active, ChargeState.DISPUTE_WON)
    back = use.contract(active)
    assert back.state is ContractState.ACTIVE
    assert back.paid_until_ms == active.paid_until_ms + DAY_MS
    (term,) = use.terms(active)
    assert term.to_ms == back.paid_until_ms


def test_a_suspension_that_nobody_lifts_ends_the_contract(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    active = use.active(shop, tenant, use.offering(shop))
    use.wait(5 * HOUR_MS)
    use.step(active, ContractEvent.SUSPENDED)
    use.wait(7 * DAY_MS)
    use.deadlines()
    assert use.contract(active).state is ContractState.CANCELLED
    assert refunded(use, active) == 50


def test_an_outage_moves_deadlines_and_spares_paid_time_that_ended_in_it(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    offering = use.offering(shop, accept_mode="manual")
    pending = use.paid(tenant, offering)
    running = use.active(shop, tenant, use.offering(shop), hours=1)
    leased = use.paid(tenant, use.offering(shop))
    lease = use.lease(shop.agent, leased)
    use.write(lambda uow: platform.tick(uow, use.now_ms))
    use.wait(25 * HOUR_MS)
    assert use.read(lambda uow: platform.asleep(uow, use.now_ms))
    gap_ms = use.write(lambda uow: platform.tick(uow, use.now_ms))
    assert gap_ms == 25 * HOUR_MS
    assert not use.read(lambda uow: platform.asleep(uow, use.now_ms))
    use.deadlines()
    assert use.contract(pending).state is ContractState.PENDING
    assert use.contract(pending).deadline_ms == pending.deadline_ms + gap_ms
    assert use.contract(running).state is ContractState.ACTIVE
    assert use.contract(running).deadline_ms == use.now_ms + HOUR_MS
    assert use.assignment(leased).lease_expires_ms == lease.lease_expires_ms + gap_ms
    use.wait(HOUR_MS)
    use.deadlines()
    lapsed = use.contract(running)
    assert lapsed.state is ContractState.LAPSED
    assert lapsed.served_ms == HOUR_MS, "the grace is free and is not paid out"


def test_short_pauses_move_nothing(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = use.paid(tenant, use.offering(shop))
    for _ in range(5):
        use.write(lambda uow: platform.tick(uow, use.now_ms))
        use.wait(60 * SECOND_MS)
    assert use.write(lambda uow: platform.tick(uow, use.now_ms)) == 0
    assert use.contract(contract).deadline_ms == contract.deadline_ms


def test_a_database_stays_with_its_mode_and_its_platform(use: Usecases) -> None:
    use.write(lambda uow: platform.ensure_stamp(uow, ServerMode.DEVELOPMENT, "11" * 32))
    with pytest.raises(WrongMode):
        use.write(lambda uow: platform.ensure_stamp(uow, ServerMode.PRODUCTION, "11" * 32))
    with pytest.raises(WrongPlatform):
        use.write(lambda uow: platform.ensure_stamp(uow, ServerMode.DEVELOPMENT, "22" * 32))


def test_a_view_says_who_must_act_and_whether_the_agent_is_there(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.paid(tenant, use.offering(shop, accept_mode="manual"))

    def view() -> views.ContractDetails:
        return use.read(
            lambda uow: views.contract_details(
                uow, use_contract(uow.contracts.get(contract.id)), use.now_ms
            )
        )

    assert view().waits_for == "provider"
    use.write(lambda uow: contracts.accept(uow, shop.owner.caller, contract.id, use.now_ms))
    assert view().waits_for == "platform"
    use.creating(shop.agent, contract)
    assert (view().waits_for, view().agent_connected) == ("agent", True)
    use.wait(5 * MINUTE_MS)
    assert not view().agent_connected
    use.cancel(tenant, contract)
    assert (view().waits_for, view().credential_n, len(view().refunds)) == ("", 0, 1)


def use_contract(found: Contract | None) -> Contract:
    assert found is not None
    return found


def test_each_step_is_told_to_both_sides(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = use.paid(tenant, use.offering(shop))
    for stream in (f"contract/{contract.id}", f"account/{tenant.id}", f"account/{shop.owner.id}"):
        events = use.read(lambda uow, s=stream: uow.outbox.read_stream(s, 0, 100))  # type: ignore[misc]
        told = [event.data["event"] for event in events if event.kind == "contract"]
        assert told == ["ordered", "settled"]

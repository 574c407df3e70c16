"""Deadlines that apply themselves, and watches that end in active or in failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from decent_cloud.app import suspensions
from decent_cloud.app.ports.reach import Reached, ReachResult
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.jobs import contracts, housekeeping, reach
from decent_cloud.jobs.reach import CheckReach, Watch, after_check, pace_ms
from decent_cloud.jobs.runner import Runner
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from decent_cloud.kernel.status import ContractState, Desired, JobState, Observed
from tests.support.usecases import Member, MemoryStore, Shop, Usecases


@dataclass
class Door:
    """A vantage point that finds what the test says."""

    reached: Reached = Reached.NO_CONNECTION
    looks: list[str] = field(default_factory=list)

    async def check(self, host: str, port: int, host_keys: tuple[str, ...]) -> ReachResult:
        self.looks.append(f"{host}:{port} {len(host_keys)}")
        return ReachResult(self.reached, self.reached.value, 3)


class Background:
    """The background of a platform, run by hand until nothing is due."""

    def __init__(self) -> None:
        store = MemoryStore()
        self.use = Usecases(store)
        self.door = Door()
        self.runner = Runner(
            store.db,
            self,
            [
                contracts.ApplyDeadline(),
                contracts.RenewContract(),
                contracts.EndRunning(),
                CheckReach(self.door),
            ],
            [contracts.tick(), housekeeping.sweep()],
            "worker",
        )

    def now_ms(self) -> int:
        return self.use.now_ms

    def run(self) -> None:
        asyncio.run(self.runner.run_due())

    def run_for(self, ms: int, step_ms: int = 10 * SECOND_MS) -> None:
        """Let time pass as it does: the server is awake all the while, and looks every `step_ms`."""
        end_ms = self.use.now_ms + ms
        while self.use.now_ms < end_ms:
            self.use.wait(min(step_ms, end_ms - self.use.now_ms))
            self.use.write(self._stay_awake)
            self.run()

    def _stay_awake(self, uow: UnitOfWork) -> None:
        uow.platform.tick(uow.platform.last_tick_ms(), self.use.now_ms)


@pytest.fixture
def back() -> Background:
    return Background()


@pytest.fixture
def shop(back: Background) -> Shop:
    return back.use.shop()


@pytest.fixture
def tenant(back: Background) -> Member:
    return back.use.account()


def test_a_deadline_is_applied_at_its_moment(back: Background, shop: Shop, tenant: Member) -> None:
    contract = back.use.order(tenant, back.use.offering(shop))
    back.run()
    back.run_for(10 * MINUTE_MS - 1)
    assert back.use.contract(contract).state is ContractState.REQUESTED
    back.run_for(1)
    assert back.use.contract(contract).state is ContractState.EXPIRED


def test_the_first_good_look_begins_paid_time(back: Background, shop: Shop, tenant: Member) -> None:
    contract = back.use.paid(tenant, back.use.offering(shop))
    back.use.provision(shop.agent, tenant, contract)
    back.run()
    assert back.use.contract(contract).state is ContractState.PROVISIONED
    assert back.door.looks == ["198.51.100.7:22 1"]
    back.door.reached = Reached.OK
    back.run_for(2 * SECOND_MS, SECOND_MS)
    active = back.use.contract(contract)
    assert active.state is ContractState.ACTIVE
    assert active.active_since_ms == back.use.now_ms
    row = back.use.history(contract)[-1]
    assert (row.event, row.actor, row.evidence) == ("reached", "platform/reach", "ok (3 ms)")
    looks = len(back.door.looks)
    back.run_for(MINUTE_MS)
    assert len(back.door.looks) == looks, "nothing is watched any more"


@pytest.mark.parametrize("found", [Reached.NO_CONNECTION, Reached.WRONG_HOST_KEY])
def test_fifteen_minutes_of_failed_looks_give_the_money_back(
    back: Background, shop: Shop, tenant: Member, found: Reached
) -> None:
    back.door.reached = found
    contract = back.use.paid(tenant, back.use.offering(shop))
    back.use.provision(shop.agent, tenant, contract)
    back.run()
    back.run_for(14 * MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.PROVISIONED
    back.run_for(2 * MINUTE_MS)
    after = back.use.contract(contract)
    assert (after.state, after.end_reason) == (ContractState.FAILED, found.value)
    assert [refund.amount_minor for refund in back.use.refunds(contract)] == [100]


def test_a_blind_vantage_point_condemns_nobody_for_a_day(
    back: Background, shop: Shop, tenant: Member
) -> None:
    back.door.reached = Reached.BLIND
    contract = back.use.paid(tenant, back.use.offering(shop))
    back.use.provision(shop.agent, tenant, contract)
    back.run()
    back.run_for(DAY_MS - MINUTE_MS, MINUTE_MS - SECOND_MS)
    assert back.use.contract(contract).state is ContractState.PROVISIONED
    back.run_for(2 * MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.FAILED


def test_a_suspended_contract_is_looked_at_again_when_it_is_back(
    back: Background, shop: Shop, tenant: Member
) -> None:
    contract = back.use.paid(tenant, back.use.offering(shop))
    back.use.provision(shop.agent, tenant, contract)
    back.run()
    back.use.step(contract, ContractEvent.SUSPENDED)
    back.run_for(5 * MINUTE_MS)
    looks = len(back.door.looks)
    back.door.reached = Reached.OK
    back.use.step(contract, ContractEvent.RESUMED)
    back.run_for(2 * MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.ACTIVE
    assert len(back.door.looks) == looks + 1


def suspended(back: Background, shop: Shop, tenant: Member) -> Contract:
    active = back.use.active(shop, tenant, back.use.offering(shop), hours=100)
    back.use.step(active, ContractEvent.SUSPENDED)
    return active


def test_a_suspended_machine_that_cannot_be_stopped_runs_a_day_at_most(
    back: Background, shop: Shop, tenant: Member
) -> None:
    contract = suspended(back, shop, tenant)
    back.run_for(DAY_MS - 20 * MINUTE_MS, 10 * MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.SUSPENDED
    for _ in range(20):
        back.use.beat(shop.agent)
        back.run_for(MINUTE_MS)
    ended = back.use.contract(contract)
    assert (ended.state, ended.end_reason) == (ContractState.CANCELLED, suspensions.REASON)
    assert ended.ended_at_ms <= ended.created_at_ms + DAY_MS
    assert back.use.assignment(contract).desired is Desired.ABSENT


@pytest.mark.parametrize("heard", [True, False])
def test_a_suspended_machine_that_is_stopped_or_out_of_sight_waits_a_week(
    back: Background, shop: Shop, tenant: Member, heard: bool
) -> None:
    contract = suspended(back, shop, tenant)
    if heard:
        back.use.health(shop.agent, contract, Observed.STOPPED)
    for _ in range(6 * 24 * 2):
        back.run_for(30 * MINUTE_MS, 30 * MINUTE_MS)
        if heard:
            back.use.beat(shop.agent)
    assert back.use.contract(contract).state is ContractState.SUSPENDED
    back.run_for(DAY_MS, 10 * MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.CANCELLED


def test_a_suspension_that_was_lifted_ends_nothing(
    back: Background, shop: Shop, tenant: Member
) -> None:
    contract = suspended(back, shop, tenant)
    back.run_for(DAY_MS - 8 * MINUTE_MS, 4 * MINUTE_MS)
    back.use.beat(shop.agent)
    back.use.step(contract, ContractEvent.RESUMED)
    back.use.step(contract, ContractEvent.SUSPENDED)
    for _ in range(10):
        back.use.beat(shop.agent)
        back.run_for(MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.SUSPENDED


def test_after_an_outage_no_deadline_is_applied_before_it_moved(
    back: Background, shop: Shop, tenant: Member
) -> None:
    """The job of a deadline was there before the outage and is run first by the worker that comes back."""
    contract = back.use.order(tenant, back.use.offering(shop))
    back.run()
    back.run_for(10 * MINUTE_MS - 5 * SECOND_MS)
    key = f"{contracts.DEADLINE_KIND}:{contract.id}:{contract.version}"
    waiting = back.use.read(lambda uow: uow.jobs.get(key))
    assert waiting is not None
    back.use.wait(3 * HOUR_MS)
    late = Runner(back.runner._db, back, [contracts.ApplyDeadline()], [], "late")
    asyncio.run(late.run_due())
    assert back.use.contract(contract).state is ContractState.REQUESTED
    back.run()
    assert back.use.contract(contract).state is ContractState.REQUESTED
    back.run_for(MINUTE_MS)
    assert back.use.contract(contract).state is ContractState.EXPIRED


def test_time_nobody_watched_does_not_count_as_failed() -> None:
    failed = ReachResult(Reached.NO_BANNER, "", 1)
    blind = ReachResult(Reached.BLIND, "", 1)
    watch = Watch("c1")  # type: ignore[arg-type]
    at_ms = 1_000_000
    for wait_ms, found, expected_ms in (
        (0, failed, 0),
        (2_000, failed, 2_000),
        (HOUR_MS, failed, 2_000),
        (2_000, blind, 2_000),
        (2_000, failed, 2_000),
        (15_000, failed, 17_000),
    ):
        at_ms += wait_ms
        watch = after_check(watch, found, at_ms)
        assert watch.failed_ms == expected_ms
    assert watch.checks == 6


def test_looks_come_fast_at_first_and_slower_later() -> None:
    assert [pace_ms(n) for n in (1, 30, 31, 60, 61, 999)] == [
        2_000,
        2_000,
        5_000,
        5_000,
        15_000,
        15_000,
    ]
    assert pace_ms(999) < reach.LONGEST_STEP_MS


def test_what_nobody_can_ask_for_is_removed(back: Background, shop: Shop, tenant: Member) -> None:
    back.use.order(tenant, back.use.offering(shop))
    back.run()
    back.run_for(HOUR_MS)
    assert back.use.read(lambda uow: uow.outbox.read(0, 10))
    back.use.wait(8 * DAY_MS)
    back.run()
    kept = back.use.read(lambda uow: uow.outbox.read(0, 10))
    assert len(kept) == 1, "the newest stays, so that numbers never start over"
    left = back.use.read(
        lambda uow: uow.jobs.get(f"contracts.tick:{(back.now_ms() - 8 * DAY_MS) // 10_000}")
    )
    assert left is None
    newest = back.use.read(lambda uow: uow.jobs.get(contracts.tick().key(back.now_ms())))
    assert newest is not None
    assert newest.state is JobState.DONE

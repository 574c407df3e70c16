"""Collecting, watching, refunding and releasing by jobs, with a processor that loses answers and workers that die."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decent_cloud.adapters.processors.sandbox.processor import SandboxProcessor
from decent_cloud.adapters.processors.sandbox.world import Effect, Verb, World, break_next
from decent_cloud.app import payments
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.processors import Charge, Processor, SentRefund, SentState
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.jobs.payments import CollectPayment, WatchPayment, deadlines
from decent_cloud.jobs.refunds import SendRefund
from decent_cloud.jobs.releases import SweepReleases, hourly
from decent_cloud.jobs.runner import Runner
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.ids import ContractId, JobId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import (
    ContractState,
    JobState,
    PaymentState,
    RefundState,
    ServerMode,
)
from decent_cloud.wire.v1.contracts import PayWith
from tests.support.rentals import PROVIDER, TENANT, Rentals, check_books


class Killed(BaseException):
    """The worker's process is gone at this point; nothing after it runs."""


@dataclass
class Platform:
    """Rentals, the sandbox's file, and workers that are started and die as tests like."""

    path: Path
    rentals: Rentals = field(default_factory=Rentals)
    kill_at: str = ""
    seen: list[str] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.rentals.now_ms

    def _hook(self, where: str) -> None:
        self.seen.append(where)
        if where == self.kill_at:
            self.kill_at = ""
            raise Killed

    def work(self) -> None:
        """Run everything that is due, as one worker."""

        async def run() -> None:
            sandbox = SandboxProcessor(self.path, ServerMode.DEVELOPMENT, self)
            by_name = {"sandbox": sandbox}
            handlers = (
                CollectPayment(by_name),
                WatchPayment(by_name),
                SendRefund(by_name),
                SweepReleases(),
            )
            crons = (deadlines(), hourly())
            runner = Runner(self.rentals.db, self, handlers, crons, "w", self._hook)
            try:
                await runner.run_due()
            except Killed:
                pass
            finally:
                await sandbox.close()

        asyncio.run(run())

    def work_for(self, seconds: int, steps: int = 1) -> None:
        """Let time pass in steps, working after each."""
        for _ in range(steps):
            self.rentals.now_ms += seconds * 1_000 // steps
            self.work()

    def order(self, card: str, hours: int = 10, total_minor: int = 1_000) -> ContractId:
        id_ = self.rentals.order(hours, total_minor, PayWith(method="sandbox", card=card))
        self.work()
        return id_

    def charges(self) -> int:
        world = World(self.path)
        try:
            return len(world.charges())
        finally:
            world.close()

    def paid_back_minor(self) -> int:
        world = World(self.path)
        try:
            return sum(r.amount.amount_minor for r in world.refunds() if not r.refused)
        finally:
            world.close()

    def payment(self, id_: ContractId) -> PaymentState:
        return self.rentals.payments(id_)[-1].state


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "sandbox-processor.db")


def test_a_good_card_pays_in_one_pass(platform: Platform) -> None:
    id_ = platform.order("test-ok")
    assert platform.payment(id_) is PaymentState.SETTLED
    assert platform.rentals.contract(id_).state is ContractState.ACCEPTED


def test_a_declined_card_ends_the_order_and_is_not_asked_again(platform: Platform) -> None:
    id_ = platform.order("test-declined")
    assert platform.payment(id_) is PaymentState.FAILED
    assert platform.rentals.contract(id_).state is ContractState.EXPIRED
    assert platform.rentals.read(lambda uow: uow.jobs.next_run_ms()) is None


def test_a_slow_card_settles_when_it_does(platform: Platform) -> None:
    id_ = platform.order("test-slow")
    platform.work_for(2)
    assert platform.payment(id_) is PaymentState.CREATED
    platform.work_for(2)
    assert platform.payment(id_) is PaymentState.SETTLED
    assert platform.charges() == 1


def test_a_card_that_never_settles_expires_with_its_order(platform: Platform) -> None:
    id_ = platform.order("test-never")
    platform.work_for(11 * 60, steps=4)
    assert platform.payment(id_) is PaymentState.EXPIRED
    assert platform.rentals.contract(id_).state is ContractState.EXPIRED
    assert platform.charges() == 1


def test_a_charge_that_settles_after_all_gave_up_is_refunded_by_itself(platform: Platform) -> None:
    id_ = platform.order("test-slow")
    platform.rentals.step(id_, ContractEvent.CANCELLED)
    (waiting,) = platform.rentals.payments(id_)
    platform.rentals.write(lambda uow: payments.expire(uow, waiting, platform.now_ms()))
    platform.work_for(20, steps=5)
    assert platform.payment(id_) is PaymentState.SETTLED_LATE
    assert platform.rentals.refunds(id_)[0].state is RefundState.CONFIRMED
    assert platform.paid_back_minor() == 1_000
    assert platform.rentals.balances() == {}


def test_a_mismatch_waits_for_an_operator(platform: Platform) -> None:
    id_ = platform.order("test-short")
    assert platform.payment(id_) is PaymentState.HELD_FOR_REVIEW
    platform.work_for(72 * 3_600, steps=6)
    assert platform.payment(id_) is PaymentState.RETURNED
    assert platform.paid_back_minor() == 900


@pytest.mark.parametrize(
    ("card", "payment", "contract"),
    [
        ("test-dispute-won", PaymentState.WON, ContractState.ACTIVE),
        ("test-dispute-lost", PaymentState.LOST, ContractState.CANCELLED),
    ],
)
def test_disputes_are_noticed_and_their_end_too(
    platform: Platform, card: str, payment: PaymentState, contract: ContractState
) -> None:
    id_ = platform.order(card)
    platform.rentals.activate(id_)
    platform.work_for(6, steps=6)
    assert platform.payment(id_) is PaymentState.DISPUTED
    assert platform.rentals.contract(id_).state is ContractState.SUSPENDED
    platform.work_for(20, steps=10)
    assert platform.payment(id_) is payment
    assert platform.rentals.contract(id_).state is contract
    platform.rentals.read(lambda uow: check_books(uow, (id_,)))


def test_a_refund_waits_for_a_dispute_to_end(platform: Platform) -> None:
    id_ = platform.order("test-dispute-won")
    platform.rentals.activate(id_)
    platform.work_for(6, steps=6)
    platform.rentals.step(id_, ContractEvent.CANCELLED)
    platform.work_for(2, steps=2)
    assert platform.rentals.refunds(id_)[0].state is RefundState.PLANNED
    platform.work_for(60, steps=20)
    assert platform.rentals.refunds(id_)[0].state is RefundState.CONFIRMED


def test_a_cancelled_rental_is_refunded_in_one_pass(platform: Platform) -> None:
    id_ = platform.order("test-ok")
    platform.rentals.activate(id_)
    platform.rentals.pass_hours(4)
    platform.rentals.step(id_, ContractEvent.CANCELLED)
    platform.work()
    assert platform.rentals.refunds(id_)[0].state is RefundState.CONFIRMED
    assert platform.paid_back_minor() == 600
    assert platform.rentals.balances()["processor/sandbox"] == 400


def test_a_card_that_takes_no_refunds_is_tried_thrice_then_credited(platform: Platform) -> None:
    id_ = platform.order("test-refund-fails")
    platform.rentals.activate(id_)
    platform.rentals.step(id_, ContractEvent.CANCELLED)
    platform.work_for(60, steps=12)
    assert platform.rentals.refunds(id_)[0].state is RefundState.CREDITED
    assert platform.rentals.balances()[f"credit/{TENANT}"] == 1_000
    assert platform.paid_back_minor() == 0


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("verb", [Verb.CHARGE, Verb.REFUND])
def test_whatever_the_processor_does_wrong_it_charges_once_and_refunds_once(
    platform: Platform, verb: Verb, effect: Effect
) -> None:
    break_next(platform.path, verb, effect, times=3)
    id_ = platform.order("test-ok")
    platform.work_for(30, steps=10)
    platform.rentals.activate(id_)
    platform.rentals.step(id_, ContractEvent.CANCELLED)
    platform.work_for(60, steps=20)
    assert platform.charges() == 1
    assert platform.paid_back_minor() == 1_000
    assert platform.rentals.balances() == {}


PLACES = [
    "payment.collect:charge:before",
    "payment.collect:charge:acted",
    "payment.collect:charge:after",
    "refund.send::before",
    "refund.send::acted",
    "refund.send::after",
    "refund.send:ask:before",
    "refund.send:ask:acted",
    "refund.send:ask:after",
    "payment.watch::before",
    "payment.watch::acted",
    "payment.watch::after",
]


def whole_rental(platform: Platform) -> ContractId:
    id_ = platform.order("test-ok")
    platform.work_for(2 * 60, steps=4)
    platform.rentals.activate(id_)
    platform.rentals.pass_hours(4)
    platform.rentals.step(id_, ContractEvent.CANCELLED)
    platform.work()
    platform.work_for(5 * 60, steps=10)
    return id_


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_killed_anywhere_charges_once_and_refunds_once(
    platform: Platform, place: str
) -> None:
    platform.kill_at = place
    id_ = whole_rental(platform)
    assert platform.kill_at == "", f"never came by {place}"
    assert platform.charges() == 1
    assert platform.paid_back_minor() == 600
    assert platform.rentals.refunds(id_)[0].state is RefundState.CONFIRMED
    assert platform.rentals.balances() == {
        "processor/sandbox": 400,
        f"payable/{PROVIDER}": 380,
        "income/platform_fee": 20,
    }


def test_the_places_above_are_all_there_are(platform: Platform) -> None:
    whole_rental(platform)
    ours = {place for place in platform.seen if place.startswith(("payment.", "refund."))}
    assert {place for place in ours if "tick" not in place} == set(PLACES)


def test_a_processor_that_is_gone_ends_the_order(platform: Platform) -> None:
    async def run() -> None:
        runner = Runner(platform.rentals.db, platform, (CollectPayment({}),), (), "w")
        await runner.run_due()

    id_ = platform.rentals.order()
    asyncio.run(run())
    assert platform.payment(id_) is PaymentState.FAILED


def test_an_unpaid_payment_expires_but_not_right_after_the_platform_slept(
    platform: Platform,
) -> None:
    id_ = platform.order("test-never")
    platform.rentals.write(lambda uow: uow.platform.tick(0, platform.now_ms()))
    platform.work_for(11 * 60)
    assert platform.payment(id_) is PaymentState.CREATED
    last_ms = platform.now_ms() - 11 * MINUTE_MS
    platform.rentals.write(lambda uow: uow.platform.tick(last_ms, platform.now_ms()))
    platform.work_for(10)
    assert platform.payment(id_) is PaymentState.EXPIRED


def test_once_an_hour_every_running_rental_is_released(platform: Platform) -> None:
    ids = [platform.rentals.active(hours=10) for _ in range(60)]
    platform.rentals.now_ms += HOUR_MS
    platform.work()
    released = [platform.rentals.terms(id_)[0].released_minor for id_ in ids]
    assert released == [100] * 60
    platform.work()
    assert platform.rentals.balances()[f"payable/{PROVIDER}"] == 60 * 95


def test_a_finished_job_stays_finished(platform: Platform) -> None:
    id_ = platform.order("test-ok")
    job = platform.rentals.read(lambda uow: uow.jobs.get(f"payment.collect:{id_}.1.p1"))
    assert job is not None
    assert job.state is JobState.DONE


class SlowRail:
    """A processor whose refunds take time, as bank transfers do."""

    name = "sandbox"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.state = SentState.PENDING

    async def charge(self, key: str, instrument: str, amount: Money) -> Charge:
        raise NotImplementedError

    async def read_charge(self, key: str) -> Charge | None:
        raise NotImplementedError

    async def refund(self, key: str, charge: str, amount: Money) -> SentRefund:
        self.asked.append(key)
        return SentRefund("re_1", self.state)

    async def read_refund(self, key: str) -> SentRefund | None:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def send_refunds(rentals: Rentals, processors: dict[str, Processor]) -> None:
    @dataclass
    class Watch:
        def now_ms(self) -> int:
            return rentals.now_ms

    async def run() -> None:
        await Runner(rentals.db, Watch(), (SendRefund(processors),), (), "w").run_due()

    asyncio.run(run())


def cancelled(rentals: Rentals) -> ContractId:
    id_ = rentals.active()
    rentals.step(id_, ContractEvent.CANCELLED)
    return id_


def test_a_slow_rail_is_asked_again_under_the_same_key_and_alarms_when_too_slow() -> None:
    rentals, rail = Rentals(), SlowRail()
    id_ = cancelled(rentals)
    for hours in (0, 1, 1, 24 * 8):
        rentals.pass_hours(hours)
        send_refunds(rentals, {"sandbox": rail})
    assert len(rail.asked) >= 4
    assert set(rail.asked) == {f"refund.send:{id_}.1.p1.r1:1:ask"}
    assert rentals.refunds(id_)[0].state is RefundState.SENT
    alarms = rentals.read(lambda uow: uow.outbox.read_stream("platform/alarms", 0, 10))
    assert [event.kind for event in alarms] == ["alarm"]
    rail.state = SentState.SUCCEEDED
    rentals.pass_hours(2)
    send_refunds(rentals, {"sandbox": rail})
    assert rentals.refunds(id_)[0].state is RefundState.CONFIRMED


def test_a_refund_waits_for_a_processor_that_is_not_set_up() -> None:
    rentals = Rentals()
    id_ = cancelled(rentals)
    send_refunds(rentals, {})
    assert rentals.refunds(id_)[0].state is RefundState.SENT
    rail = SlowRail()
    rail.state = SentState.SUCCEEDED
    rentals.pass_hours(1)
    send_refunds(rentals, {"sandbox": rail})
    assert rentals.refunds(id_)[0].state is RefundState.CONFIRMED


@pytest.mark.parametrize("step", ["", "ask"])
def test_the_job_of_an_attempt_that_is_over_sends_nothing(step: str) -> None:
    rentals, rail = Rentals(), SlowRail()
    id_ = cancelled(rentals)
    rail.state = SentState.SUCCEEDED
    send_refunds(rentals, {"sandbox": rail})
    asked = list(rail.asked)
    data = to_json({"refund": f"{id_}.1.p1.r1", "attempt": 1}).decode()
    again = Job(JobId("again"), "refund.send", "again", rentals.now_ms, data, step=step)
    rentals.write(lambda uow: uow.jobs.add(again))
    send_refunds(rentals, {"sandbox": rail})
    job = rentals.read(lambda uow: uow.jobs.get("again"))
    assert job is not None
    assert job.state is JobState.DONE
    assert rail.asked == asked
    assert rentals.refunds(id_)[0].attempts == 1

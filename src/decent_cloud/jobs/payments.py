"""Background work of payments: ask the processor to charge, watch what becomes of it, apply deadlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decent_cloud.app import payments
from decent_cloud.app.payment_effects import get as get_payment
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.processors import Charge, ChargeState, Processor
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.payment_lifecycle import next_ask_ms, next_look_ms
from decent_cloud.jobs.handler import Cron, Next, Step
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.ids import PaymentId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import PaymentState

DEADLINES_EVERY_MS = 10 * SECOND_MS
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Data:
    payment: PaymentId


class CollectPayment:
    """Asks the processor to charge until it is settled, failed or given up; payment row and job came first."""

    kind = payments.COLLECT_KIND

    def __init__(self, processors: Mapping[str, Processor]) -> None:
        self._processors = processors

    async def run(self, job: Job, step: Step) -> None:
        """Charge under a key that never changes, so that a lost answer is asked for again, not charged again."""
        payment = await _payment(job, step)
        if payment.state is not PaymentState.CREATED:
            # Given up meanwhile: a charge may exist all the same, and its money must go back.
            await step.commit(lambda uow: _watched(uow, payment, step.now_ms()))
            return
        charge = await self._charge(payment)
        await step.commit(lambda uow: self._apply(uow, payment.id, charge, step.now_ms()))

    async def _charge(self, payment: Payment) -> Charge:
        asked = Money(payment.amount_minor, payment.asset)
        processor = self._processors.get(payment.processor)
        if processor is None:
            detail = "this platform no longer takes this way of paying"
            return Charge("", ChargeState.FAILED, Money(0, payment.asset), detail)
        return await processor.charge(payments.charge_key(payment.id), payment.instrument, asked)

    @staticmethod
    def _apply(uow: UnitOfWork, payment: PaymentId, charge: Charge, now_ms: int) -> Next:
        after = payments.apply_charge(uow, payment, charge, now_ms)
        if after.state is PaymentState.CREATED:
            return Next.again(next_ask_ms(after, now_ms))
        return _watched(uow, after, now_ms)


class WatchPayment:
    """Reads a charge again from time to time: late money, disputes, decisions."""

    kind = payments.WATCH_KIND

    def __init__(self, processors: Mapping[str, Processor]) -> None:
        self._processors = processors

    async def run(self, job: Job, step: Step) -> None:
        """Read only; what it finds is applied once, however often it is found."""
        payment = await _payment(job, step)
        processor = self._processors.get(payment.processor)
        charge = await processor.read_charge(payments.charge_key(payment.id)) if processor else None
        await step.commit(lambda uow: self._apply(uow, payment.id, charge, step.now_ms()))

    @staticmethod
    def _apply(uow: UnitOfWork, id_: PaymentId, charge: Charge | None, now_ms: int) -> Next:
        after = payments.apply_charge(uow, id_, charge, now_ms) if charge else get_payment(uow, id_)
        at_ms = next_look_ms(after, now_ms)
        declined = charge is not None and charge.state is ChargeState.FAILED
        if payments.is_final(after) or declined or not at_ms:
            return Next.done()
        return Next.again(at_ms)


def deadlines() -> Cron:
    """Return the cron that applies payments' deadlines."""
    return Cron("payments.tick", DEADLINES_EVERY_MS, _tick)


def _tick(uow: UnitOfWork, now_ms: int) -> None:
    last_ms = uow.platform.last_tick_ms()
    if last_ms and now_ms - last_ms > MINUTE_MS:
        return  # the platform slept: contracts move their deadlines first, payments follow
    payments.apply_deadlines(uow, now_ms, AT_ONCE)


def _watched(uow: UnitOfWork, payment: Payment, now_ms: int) -> Next:
    payments.watch(uow, payment, now_ms)
    return Next.done()


async def _payment(job: Job, step: Step) -> Payment:
    id_ = from_json(job.data, _Data).payment
    return await step.read(lambda uow: get_payment(uow, id_))

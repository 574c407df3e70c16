"""Background work of refunds: write down that one is sent, ask the processor, book its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decent_cloud.app import refunds
from decent_cloud.app.payment_effects import get as get_payment
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.processors import Processor, SentRefund
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.payment_lifecycle import next_look_ms
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.jobs.handler import Next, Step
from decent_cloud.kernel.clock import HOUR_MS, SECOND_MS
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import RefundId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import RefundState

ASK = "ask"


@dataclass(frozen=True, slots=True)
class _Data:
    refund: RefundId
    attempt: int


class SendRefund:
    """One attempt to send one refund; the job's key is the attempt's, at the processor too."""

    kind = refunds.SEND_KIND

    def __init__(self, processors: Mapping[str, Processor]) -> None:
        self._processors = processors

    async def run(self, job: Job, step: Step) -> None:
        """Intent first, then ask under the step's key until the processor has decided."""
        data = from_json(job.data, _Data)
        if job.step != ASK:
            await step.commit(lambda uow: _intend(uow, data, step.now_ms()))
            return
        refund, payment = await step.read(lambda uow: _load(uow, data.refund))
        if refund.state is not RefundState.SENT or refund.attempts != data.attempt:
            await step.commit(lambda _uow: Next.done())
            return
        processor = self._processors.get(refund.processor)
        if processor is None:
            raise Internal("no such processor is set up", processor=refund.processor)
        amount = Money(refund.amount_minor, refund.asset)
        sent = await processor.refund(step.key, payment.external, amount)
        await step.commit(lambda uow: _apply(uow, data, sent, step.now_ms()))


def _intend(uow: UnitOfWork, data: _Data, now_ms: int) -> Next:
    refund = refunds.mark_sent(uow, data.refund, now_ms)
    if refund.state is RefundState.SENT and refund.attempts == data.attempt:
        return Next.again(now_ms, step=ASK)
    if refund.state is RefundState.PLANNED and refund.attempts == data.attempt - 1:
        refunds.remind(uow, refund, now_ms)
        payment = get_payment(uow, refund.payment)  # disputed: wait for the decision
        return Next.again(next_look_ms(payment, now_ms) or now_ms + HOUR_MS)
    return Next.done()


def _apply(uow: UnitOfWork, data: _Data, sent: SentRefund, now_ms: int) -> Next:
    refund = refunds.apply_sent(uow, data.refund, data.attempt, sent, now_ms)
    if refund.state is RefundState.SENT and refund.attempts == data.attempt:
        refunds.remind(uow, refund, now_ms)
        age_ms = now_ms - refund.created_at_ms
        return Next.again(now_ms + max(SECOND_MS, min(HOUR_MS, age_ms // 2)), step=ASK)
    return Next.done()


def _load(uow: UnitOfWork, id_: RefundId) -> tuple[Refund, Payment]:
    refund = refunds.get(uow, id_)
    return refund, get_payment(uow, refund.payment)

"""Invariant 1 under any order of events: nothing is made, nothing is lost, the books say what the records say.

Later work adds top-ups, packs, SLA credits, payouts and token rails to the machine's verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app import payments, refunds
from decent_cloud.app.caller import SYSTEM
from decent_cloud.app.ports.processors import ChargeState, SentRefund, SentState
from decent_cloud.app.ports.unit_of_work import Database
from decent_cloud.app.releases import release_earned
from decent_cloud.domain.contracts.lifecycle import CONTRACT, EXTENDABLE, ContractEvent
from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.domain.payments.errors import NotReviewable
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.ids import ContractId, PaymentId, RefundId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import PaymentState, RefundState
from tests.support.rentals import CARD, CREDIT, Rentals, check_books

C, F = ChargeState, SentState
# What a processor may say after what it said before; "" is before the first word.
NEXT_CHARGE: dict[ChargeState | None, tuple[ChargeState, ...]] = {
    None: (C.PENDING, C.SUCCEEDED, C.FAILED),
    C.PENDING: (C.SUCCEEDED, C.FAILED),
    C.FAILED: (C.SUCCEEDED,),
    C.SUCCEEDED: (C.DISPUTED,),
    C.DISPUTED: (C.DISPUTE_WON, C.DISPUTE_LOST),
    C.DISPUTE_WON: (C.DISPUTE_LOST,),
    C.DISPUTE_LOST: (),
}
NEXT_SENT: dict[SentState | None, tuple[SentState, ...]] = {
    None: (F.PENDING, F.SUCCEEDED, F.FAILED),
    F.PENDING: (F.SUCCEEDED, F.FAILED),
    F.SUCCEEDED: (F.FAILED,),
    F.FAILED: (),
}
BY_PEOPLE = tuple(
    event
    for event in ContractEvent
    if event.value
    not in {"settled", "payment_expired", "extended", "suspended", "resumed", "dispute_lost"}
)
DISPUTABLE = {PaymentState.SETTLED, PaymentState.DISPUTED, PaymentState.WON}
picks = st.integers(0, 1_000)


class Rental(RuleBasedStateMachine):
    """Tenants, providers, an agent, a processor that repeats itself, and time."""

    open_database: Callable[[], Database] = MemoryDatabase

    def __init__(self) -> None:
        super().__init__()
        self.rentals = Rentals(type(self).open_database())
        self.ids: list[ContractId] = []
        self.said: dict[PaymentId, list[ChargeState]] = {}
        self.received: dict[PaymentId, Money] = {}
        self.sent: dict[tuple[RefundId, int], list[SentState]] = {}

    def teardown(self) -> None:
        self.rentals.close()

    def _id(self, pick: int) -> ContractId:
        return self.ids[pick % len(self.ids)]

    def _in(self, state: PaymentState) -> bool:
        return self._payment(0, state) is not None

    def _payment(self, pick: int, *states: PaymentState) -> Payment | None:
        own = {"credit", "prepaid"}
        found = [
            payment
            for id_ in self.ids
            for payment in self.rentals.payments(id_)
            if payment.processor not in own and (not states or payment.state in states)
        ]
        return found[pick % len(found)] if found else None

    def _refund(self, pick: int, *states: RefundState) -> Refund | None:
        found = [
            refund
            for id_ in self.ids
            for refund in self.rentals.refunds(id_)
            if refund.state in states
        ]
        return found[pick % len(found)] if found else None

    @rule(hours=st.integers(1, 9), amount_minor=st.integers(1, 2_000), credit=st.booleans())
    def order(self, hours: int, amount_minor: int, credit: bool) -> None:
        if len(self.ids) < 3:
            try:
                self.ids.append(self.rentals.order(hours, amount_minor, CREDIT if credit else CARD))
            except Overdrawn:
                assert credit

    @rule(hours=st.integers(2, 9), amount_minor=st.integers(1, 2_000), served=st.integers(0, 5))
    def a_rental_runs(self, hours: int, amount_minor: int, served: int) -> None:
        """The common beginning, so that the rest is reached more often."""
        if len(self.ids) < 3:
            id_ = self.rentals.order(hours, amount_minor)
            self.ids.append(id_)
            (payment,) = self.rentals.payments(id_)
            self.said[payment.id] = [C.SUCCEEDED]
            self.received[payment.id] = Money(amount_minor, payment.asset)
            self._tell(payment.id, C.SUCCEEDED)
            self.rentals.activate(id_)
            self.rentals.now_ms += served * HOUR_MS // 2

    @precondition(lambda self: self.ids)
    @rule(pick=picks, event=st.sampled_from((ContractEvent.CANCELLED, ContractEvent.TERMINATED)))
    def somebody_ends_it(self, pick: int, event: ContractEvent) -> None:
        self.something_happens(pick, event)

    @rule(amount_minor=st.integers(1, 3_000))
    def penalty_fills_credit(self, amount_minor: int) -> None:
        self.rentals.give_credit(amount_minor)

    @precondition(lambda self: self._in(PaymentState.SETTLED))
    @rule(pick=picks, lost=st.booleans())
    def a_dispute_is_decided(self, pick: int, lost: bool) -> None:
        payment = self._payment(pick, PaymentState.SETTLED)
        if payment is not None:
            for state in (C.DISPUTED, C.DISPUTE_LOST if lost else C.DISPUTE_WON):
                self.said[payment.id].append(state)
                self._tell(payment.id, state)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, pick_state=picks, change=st.sampled_from((0, 0, 0, 0, 0, 0, -1, 1)))
    def processor_speaks(self, pick: int, pick_state: int, change: int) -> None:
        payment = self._payment(pick)
        if payment is None:
            return
        said = self.said.setdefault(payment.id, [])
        possible = NEXT_CHARGE[said[-1] if said else None]
        if said and said[-1] is C.SUCCEEDED and payment.state not in DISPUTABLE:
            possible = ()
        if possible:
            said.append(possible[pick_state % len(possible)])
        self.received.setdefault(payment.id, Money(payment.amount_minor + change, payment.asset))
        self._tell(payment.id, said[-1])

    @precondition(lambda self: self.said)
    @rule()
    def every_word_ever_said_is_said_again(self) -> None:
        before = self.rentals.balances()
        for payment, words in self.said.items():
            for word in words:
                self._tell(payment, word)
        for key, answers in self.sent.items():
            for answer in answers:
                self._tell_refund(*key, answer)
        assert self.rentals.balances() == before

    def _tell(self, payment: PaymentId, state: ChargeState) -> None:
        paid = state not in {C.PENDING, C.FAILED}
        received = self.received[payment] if paid else Money(0, Asset.USD)
        id_ = ContractId(payment.split(".")[0])
        self.rentals.charge(id_, state, received=received, payment=payment)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, hours=st.integers(1, 9), amount_minor=st.integers(1, 2_000))
    def extend(self, pick: int, hours: int, amount_minor: int) -> None:
        id_ = self._id(pick)
        if self.rentals.contract(id_).state in EXTENDABLE and len(self.rentals.terms(id_)) < 4:
            self.rentals.extend(id_, hours, amount_minor)

    @precondition(lambda self: self.ids)
    @rule(pick=picks, event=st.sampled_from(BY_PEOPLE))
    def anything_happens(self, pick: int, event: ContractEvent) -> None:
        self.something_happens(pick, event)

    def something_happens(self, pick: int, event: ContractEvent) -> None:
        id_ = self._id(pick)
        if CONTRACT.allows(self.rentals.contract(id_).state, event):
            try:
                self.rentals.step(id_, event)
            except IllegalTransition:
                return  # suspended from a state where it makes no sense

    @precondition(lambda self: self.ids)
    @rule(pick=picks)
    def the_instance_comes_up(self, pick: int) -> None:
        id_ = self._id(pick)
        if CONTRACT.allows(self.rentals.contract(id_).state, ContractEvent.CREATE_STARTED):
            self.rentals.activate(id_)

    @rule(minutes=st.sampled_from((1, 1, 3, 7, 61, 200, 5_000)))
    def time_passes(self, minutes: int) -> None:
        self.rentals.now_ms += minutes * HOUR_MS // 60
        now_ms = self.rentals.now_ms
        self.rentals.write(lambda uow: payments.apply_deadlines(uow, now_ms, 100))
        for id_ in self.ids:
            self._release(id_, now_ms)

    def _release(self, id_: ContractId, now_ms: int) -> None:
        contract = self.rentals.contract(id_)
        self.rentals.write(lambda uow: release_earned(uow, contract, now_ms))

    @precondition(lambda self: self._in(PaymentState.HELD_FOR_REVIEW))
    @rule(pick=picks, accept=st.booleans())
    def operator_decides(self, pick: int, accept: bool) -> None:
        payment = self._payment(pick, PaymentState.HELD_FOR_REVIEW)
        assert payment is not None
        now_ms = self.rentals.now_ms
        try:
            self.rentals.write(
                lambda uow: payments.decide_review(uow, SYSTEM, payment.id, accept, now_ms)
            )
        except NotReviewable:
            return

    @precondition(lambda self: self._refund(0, RefundState.PLANNED))
    @rule(pick=picks)
    def refund_leaves(self, pick: int) -> None:
        refund = self._refund(pick, RefundState.PLANNED)
        assert refund is not None
        now_ms = self.rentals.now_ms
        after = self.rentals.write(lambda uow: refunds.mark_sent(uow, refund.id, now_ms))
        (payment,) = (p for p in self.rentals.payments(refund.contract) if p.id == refund.payment)
        disputed = payment.state is PaymentState.DISPUTED
        assert (after.state is RefundState.PLANNED) == disputed

    @precondition(lambda self: self._refund(0, RefundState.PLANNED))
    @rule(pick=picks)
    def refund_fails_until_it_is_credited(self, pick: int) -> None:
        refund = self._refund(pick, RefundState.PLANNED)
        assert refund is not None
        for _ in range(3):
            self.rentals.write(lambda uow: refunds.mark_sent(uow, refund.id, self.rentals.now_ms))
            sent = self.rentals.read(lambda uow: refunds.get(uow, refund.id))
            if sent.state is not RefundState.SENT:
                return
            self.sent.setdefault((sent.id, sent.attempts), []).append(F.FAILED)
            self._tell_refund(sent.id, sent.attempts, F.FAILED)

    @precondition(lambda self: self._refund(0, RefundState.SENT, RefundState.CONFIRMED))
    @rule(pick=picks, pick_state=picks)
    def rail_speaks(self, pick: int, pick_state: int) -> None:
        refund = self._refund(pick, RefundState.SENT, RefundState.CONFIRMED)
        if refund is None or refund.external == "dispute":
            return
        said = self.sent.setdefault((refund.id, refund.attempts), [])
        possible = NEXT_SENT[said[-1] if said else None]
        if possible:
            said.append(possible[pick_state % len(possible)])
        self._tell_refund(refund.id, refund.attempts, said[-1])

    def _tell_refund(self, id_: RefundId, attempt: int, state: SentState) -> None:
        answer = SentRefund(f"re_{id_}_{attempt}", state)
        now_ms = self.rentals.now_ms
        self.rentals.write(lambda uow: refunds.apply_sent(uow, id_, attempt, answer, now_ms))

    @invariant()
    def nothing_is_made_and_nothing_is_lost(self) -> None:
        self.rentals.read(lambda uow: check_books(uow, tuple(self.ids)))

    @invariant()
    def our_account_at_the_processor_is_what_the_processor_says(self) -> None:
        with_us = {C.SUCCEEDED, C.DISPUTE_WON}
        came = sum(
            self.received[payment].amount_minor
            for payment, said in self.said.items()
            if said and said[-1] in with_us
        )
        went = sum(
            self._amount(refund)
            for (refund, _), said in self.sent.items()
            if said[-1] is F.SUCCEEDED
        )
        assert self.rentals.balances().get("processor/sandbox", 0) == came - went

    def _amount(self, id_: RefundId) -> int:
        refund = self.rentals.read(lambda uow: uow.payments.refund(id_))
        assert refund is not None
        return refund.amount_minor

    @invariant()
    def nothing_is_refunded_beyond_what_came(self) -> None:
        for id_ in self.ids:
            for payment in self.rentals.payments(id_):
                came = payment.received_minor
                assert 0 <= payment.refunded_minor <= came

    @invariant()
    def a_lost_payment_leaves_nothing_that_could_go_out_again(self) -> None:
        for id_ in self.ids:
            lost = {p.term for p in self.rentals.payments(id_) if p.state is PaymentState.LOST}
            for term in self.rentals.terms(id_):
                if term.id in lost:
                    kept = (term.held_minor, term.released_minor, term.credited_minor)
                    assert kept == (0, 0, 0), term

    @invariant()
    def an_ended_rental_holds_only_what_is_about_to_be_refunded(self) -> None:
        for id_ in self.ids:
            if self.rentals.contract(id_).state not in CONTRACT.terminal():
                continue
            waiting: dict[str, int] = {}
            for refund in self.rentals.refunds(id_):
                if refund.state is RefundState.PLANNED:
                    waiting[refund.source] = waiting.get(refund.source, 0) + refund.amount_minor
            for term in self.rentals.terms(id_):
                assert term.held_minor == waiting.get(f"held/{term.id}", 0), term


def run(open_database: Callable[[], Database], examples: int, steps: int) -> None:
    machine: Any = type("Machine", (Rental,), {"open_database": staticmethod(open_database)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_order_of_events_in_memory() -> None:
    run(MemoryDatabase, examples=80, steps=50)


@pytest.mark.slow
def test_any_order_of_events_in_memory_at_length() -> None:
    run(MemoryDatabase, examples=250, steps=80)


@pytest.mark.slow
def test_any_order_of_events_in_sqlite(tmp_path: Path) -> None:
    count = iter(range(10_000))

    def fresh() -> Database:
        url = f"sqlite:///{tmp_path / f'{next(count)}.db'}"
        migrate(url)
        return connect(url, bytes(32))

    run(fresh, examples=8, steps=30)


@pytest.mark.slow
@pytest.mark.postgres
def test_any_order_of_events_in_postgres(postgres_database: Callable[..., str]) -> None:
    def fresh() -> Database:
        url = postgres_database()
        migrate(url)
        return connect(url, bytes(32))

    run(fresh, examples=5, steps=30)

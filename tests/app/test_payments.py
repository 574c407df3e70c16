"""Money comes in: settled, late, mismatched, disputed; the same word twice changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.app import payments
from decent_cloud.app.caller import SYSTEM, Caller, CallerKind
from decent_cloud.app.ports.processors import Charge, ChargeState
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.domain.payments.errors import NotReviewable, PaymentOpen, UnknownMethod
from decent_cloud.domain.payments.payment_lifecycle import (
    REVIEW_ALARM_MS,
    REVIEW_ENDS_MS,
    UNPAID_MS,
)
from decent_cloud.kernel.errors import Forbidden, Internal, Invalid, NotFound
from decent_cloud.kernel.ids import ContractId, Kid, PaymentId
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import ContractState, PaymentState, RefundState, ServerMode
from decent_cloud.wire.v1.contracts import PayWith
from tests.support.rentals import (
    CARD,
    CREDIT,
    PROVIDER,
    TENANT,
    Rentals,
    a_contract,
    a_term,
    check_books,
)

PAID = ChargeState.SUCCEEDED
NOBODY = Caller(TENANT, Kid("k"), CallerKind.DEVICE, 0, admin=False)


@pytest.fixture
def rentals() -> Rentals:
    return Rentals()


def everything(rentals: Rentals, id_: ContractId) -> tuple[object, ...]:
    books = rentals.balances()
    return (
        rentals.contract(id_),
        rentals.terms(id_),
        rentals.payments(id_),
        rentals.refunds(id_),
        books,
    )


def test_an_order_waits_for_its_payment_and_has_a_job_to_collect_it(rentals: Rentals) -> None:
    id_ = rentals.order()
    (payment,) = rentals.payments(id_)
    job = rentals.read(lambda uow: uow.jobs.get(f"payment.collect:{payment.id}"))
    assert payment.state is PaymentState.CREATED
    assert payment.deadline_ms == rentals.now_ms + UNPAID_MS
    assert rentals.contract(id_).state is ContractState.REQUESTED
    assert job is not None
    assert f"{job.key}:{job.step}" == payments.charge_key(payment.id)
    assert rentals.balances() == {}


def test_settled_money_is_held_and_the_contract_goes_on(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_)
    assert payment.state is PaymentState.SETTLED
    assert rentals.contract(id_).state is ContractState.ACCEPTED
    assert rentals.balances() == {"processor/sandbox": 1_000, f"held/{id_}.1": 1_000}


def test_credit_pays_at_once_and_needs_no_job(rentals: Rentals) -> None:
    rentals.give_credit(1_500)
    id_ = rentals.order(pay=CREDIT)
    (payment,) = rentals.payments(id_)
    assert payment.state is PaymentState.SETTLED
    assert rentals.contract(id_).state is ContractState.ACCEPTED
    assert rentals.balances()[f"credit/{TENANT}"] == 500
    assert rentals.read(lambda uow: uow.jobs.get(f"payment.collect:{payment.id}")) is None


def test_too_little_credit_leaves_nothing_behind(rentals: Rentals) -> None:
    rentals.give_credit(999)
    with pytest.raises(Overdrawn):
        rentals.order(pay=CREDIT)
    assert rentals.balances()[f"credit/{TENANT}"] == 999


def test_a_way_of_paying_that_the_platform_lacks_is_refused(rentals: Rentals) -> None:
    with pytest.raises(UnknownMethod):
        rentals.order(pay=PayWith(method="stripe"))


def test_the_fake_card_is_refused_in_production() -> None:
    contract = a_contract(ContractId("c1"), 10, 1_000, 1)
    term = a_term(contract.id, 1, 10, 1_000)
    db = MemoryDatabase()
    db.write_now(lambda uow: uow.platform.stamp(ServerMode.PRODUCTION, "11" * 32))
    with pytest.raises(UnknownMethod):
        db.write_now(lambda uow: payments.start(uow, TENANT, contract, term, CARD, 1))


def test_nothing_is_paid_for_a_term_that_costs_nothing(rentals: Rentals) -> None:
    with pytest.raises(Invalid):
        rentals.order(total_minor=0)


def test_a_term_has_at_most_one_open_payment(rentals: Rentals) -> None:
    id_ = rentals.order()
    (term,) = rentals.terms(id_)

    def again() -> None:
        rentals.write(
            lambda uow: payments.start(
                uow, TENANT, rentals.contract_in(uow, id_), term, CARD, rentals.now_ms
            )
        )

    with pytest.raises(PaymentOpen):
        again()
    rentals.charge(id_)
    with pytest.raises(PaymentOpen):
        again()


@pytest.mark.parametrize("told", list(ChargeState))
def test_the_same_word_again_changes_nothing(rentals: Rentals, told: ChargeState) -> None:
    id_ = rentals.order()
    rentals.charge(id_, told)
    before = everything(rentals, id_)
    rentals.now_ms += 1
    rentals.charge(id_, told)
    assert everything(rentals, id_) == before


@pytest.mark.parametrize("end", [ChargeState.DISPUTE_WON, ChargeState.DISPUTE_LOST])
def test_every_word_ever_said_replayed_in_any_order_changes_nothing(
    rentals: Rentals, end: ChargeState
) -> None:
    id_ = rentals.order()
    said = (ChargeState.PENDING, PAID, ChargeState.DISPUTED, end)
    for state in said:
        rentals.charge(id_, state)
    before = everything(rentals, id_)
    for state in (*reversed(said), *said):
        rentals.charge(id_, state)
    assert everything(rentals, id_) == before
    rentals.read(lambda uow: check_books(uow, (id_,)))


def test_words_that_were_missed_are_made_up_for(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_, ChargeState.DISPUTE_LOST)
    assert payment.state is PaymentState.LOST
    assert rentals.contract(id_).state is ContractState.CANCELLED
    assert rentals.balances() == {}
    assert rentals.terms(id_)[0].lost_minor == 1_000


def test_a_second_charge_for_one_payment_is_refused(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_)
    other = Charge("ch_other", PAID, Money(1_000, Asset.USD))
    with pytest.raises(Internal):
        rentals.write(lambda uow: payments.apply_charge(uow, payment.id, other, rentals.now_ms))
    nothing = PaymentId("c9.1.p1")
    with pytest.raises(Internal):
        rentals.write(lambda uow: payments.apply_charge(uow, nothing, other, rentals.now_ms))


def test_a_declined_card_ends_the_order_at_once(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_, ChargeState.FAILED)
    assert payment.state is PaymentState.FAILED
    contract = rentals.contract(id_)
    assert contract.state is ContractState.EXPIRED
    assert rentals.balances() == {}


def test_a_payment_that_nobody_makes_expires_with_its_order(rentals: Rentals) -> None:
    id_ = rentals.order()
    rentals.now_ms += UNPAID_MS
    assert rentals.write(lambda uow: payments.apply_deadlines(uow, rentals.now_ms, 10)) == 1
    assert rentals.payments(id_)[0].state is PaymentState.EXPIRED
    assert rentals.contract(id_).state is ContractState.EXPIRED
    assert rentals.write(lambda uow: payments.apply_deadlines(uow, rentals.now_ms, 10)) == 0


def test_a_payment_follows_its_order_whose_deadline_moved(rentals: Rentals) -> None:
    id_ = rentals.order()
    later_ms = UNPAID_MS * 3
    rentals.write(lambda uow: uow.contracts.shift_deadlines(later_ms, rentals.now_ms, 0))
    rentals.now_ms += UNPAID_MS
    rentals.write(lambda uow: payments.apply_deadlines(uow, rentals.now_ms, 10))
    (payment,) = rentals.payments(id_)
    assert payment.state is PaymentState.CREATED
    assert payment.deadline_ms == rentals.contract(id_).deadline_ms


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_money_that_comes_too_late_refunds_itself(rentals: Rentals, how: str) -> None:
    id_ = rentals.order()
    if how == "cancelled":
        rentals.step(id_, ContractEvent.CANCELLED)
    else:
        (waiting,) = rentals.payments(id_)
        rentals.write(lambda uow: payments.expire(uow, waiting, rentals.now_ms))
    payment = rentals.charge(id_)
    (refund,) = rentals.refunds(id_)
    assert payment.state is PaymentState.SETTLED_LATE
    assert (refund.state, refund.amount_minor) == (RefundState.PLANNED, 1_000)
    assert refund.source == f"suspense/{payment.id}"
    assert rentals.balances() == {"processor/sandbox": 1_000, f"suspense/{payment.id}": 1_000}
    assert not rentals.terms(id_)[0].paid


def test_a_declined_card_that_is_charged_after_all_refunds_itself(rentals: Rentals) -> None:
    id_ = rentals.order()
    rentals.charge(id_, ChargeState.FAILED)
    assert rentals.charge(id_).state is PaymentState.SETTLED_LATE
    assert len(rentals.refunds(id_)) == 1


def test_giving_up_a_settled_payment_does_nothing(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_)
    rentals.write(lambda uow: payments.expire(uow, payment, rentals.now_ms))
    assert rentals.payments(id_)[0].state is PaymentState.SETTLED


class TestMismatch:
    def held(self, rentals: Rentals, received: Money) -> PaymentId:
        id_ = rentals.order()
        return rentals.charge(id_, received=received).id

    def decide(self, rentals: Rentals, payment: PaymentId, *, accept: bool) -> None:
        rentals.write(
            lambda uow: payments.decide_review(uow, SYSTEM, payment, accept, rentals.now_ms)
        )

    @pytest.mark.parametrize(
        "received", [Money(900, Asset.USD), Money(1_100, Asset.USD), Money(1_000, Asset.EUR)]
    )
    def test_it_waits_for_an_operator_and_serves_nobody(
        self, rentals: Rentals, received: Money
    ) -> None:
        id_ = rentals.order()
        payment = rentals.charge(id_, received=received)
        assert payment.state is PaymentState.HELD_FOR_REVIEW
        assert rentals.contract(id_).state is ContractState.REQUESTED
        assert rentals.balances()[f"suspense/{payment.id}"] == received.amount_minor
        assert not rentals.terms(id_)[0].paid

    def test_an_operator_accepts_a_surplus_and_it_goes_back(self, rentals: Rentals) -> None:
        payment = self.held(rentals, Money(1_100, Asset.USD))
        self.decide(rentals, payment, accept=True)
        id_ = ContractId(payment.split(".")[0])
        (refund,) = rentals.refunds(id_)
        assert rentals.contract(id_).state is ContractState.ACCEPTED
        assert (refund.amount_minor, refund.source) == (100, f"suspense/{payment}")
        assert rentals.balances()[f"held/{id_}.1"] == 1_000

    @pytest.mark.parametrize("received", [Money(900, Asset.USD), Money(1_000, Asset.EUR)])
    def test_too_little_or_another_asset_cannot_be_accepted(
        self, rentals: Rentals, received: Money
    ) -> None:
        payment = self.held(rentals, received)
        with pytest.raises(NotReviewable):
            self.decide(rentals, payment, accept=True)
        self.decide(rentals, payment, accept=False)
        id_ = ContractId(payment.split(".")[0])
        (refund,) = rentals.refunds(id_)
        assert (refund.amount_minor, refund.asset) == (received.amount_minor, received.asset)
        assert rentals.contract(id_).state is ContractState.EXPIRED
        with pytest.raises(NotReviewable):
            self.decide(rentals, payment, accept=True)

    def test_only_an_admin_decides(self, rentals: Rentals) -> None:
        payment = self.held(rentals, Money(1_100, Asset.USD))
        with pytest.raises(Forbidden):
            rentals.write(lambda uow: payments.decide_review(uow, NOBODY, payment, True, 1))
        with pytest.raises(NotFound):
            self.decide(rentals, PaymentId("c9.1.p1"), accept=True)

    def test_after_48_hours_it_alarms_and_after_72_the_money_goes_back(
        self, rentals: Rentals
    ) -> None:
        payment = self.held(rentals, Money(900, Asset.USD))
        id_ = ContractId(payment.split(".")[0])
        came_ms = rentals.now_ms
        for after_ms in (REVIEW_ALARM_MS, REVIEW_ENDS_MS):
            rentals.now_ms = came_ms + after_ms
            rentals.write(lambda uow: payments.apply_deadlines(uow, rentals.now_ms, 10))
        alarms = rentals.read(lambda uow: uow.outbox.read_stream("platform/alarms", 0, 10))
        assert [event.subject for event in alarms] == [payment, payment]
        assert rentals.payments(id_)[0].state is PaymentState.RETURNED
        assert len(rentals.refunds(id_)) == 1


class TestExtension:
    def test_its_money_is_held_for_its_own_term(self, rentals: Rentals) -> None:
        id_ = rentals.active(10)
        until_ms = rentals.contract(id_).paid_until_ms
        rentals.extend(id_, 5, 600)
        assert rentals.contract(id_).paid_until_ms == until_ms
        rentals.charge(id_)
        assert rentals.contract(id_).paid_until_ms > until_ms
        assert rentals.balances()[f"held/{id_}.2"] == 600

    def test_a_declined_one_leaves_the_contract_alone(self, rentals: Rentals) -> None:
        id_ = rentals.active()
        rentals.extend(id_, 5, 600)
        before = rentals.contract(id_)
        rentals.charge(id_, ChargeState.FAILED)
        assert rentals.contract(id_) == before

    def test_one_that_settles_after_the_end_refunds_itself(self, rentals: Rentals) -> None:
        id_ = rentals.active()
        rentals.extend(id_, 5, 600)
        rentals.step(id_, ContractEvent.CANCELLED)
        assert rentals.charge(id_).state is PaymentState.SETTLED_LATE
        assert not rentals.terms(id_)[1].paid
        rentals.read(lambda uow: check_books(uow, (id_,)))


class TestDispute:
    def test_it_stops_the_clock_and_winning_starts_it_again(self, rentals: Rentals) -> None:
        id_ = rentals.active(10)
        rentals.pass_hours(2)
        rentals.charge(id_, ChargeState.DISPUTED)
        assert rentals.contract(id_).state is ContractState.SUSPENDED
        assert rentals.balances()[f"dispute/{id_}.1.p1"] == 1_000
        until_ms = rentals.contract(id_).paid_until_ms
        rentals.pass_hours(3)
        rentals.charge(id_, ChargeState.DISPUTE_WON)
        contract = rentals.contract(id_)
        assert contract.state is ContractState.ACTIVE
        assert contract.paid_until_ms == until_ms + 3 * 3_600_000
        assert f"dispute/{id_}.1.p1" not in rentals.balances()

    def test_two_disputes_must_both_be_won(self, rentals: Rentals) -> None:
        id_ = rentals.active(10)
        rentals.extend(id_, 5, 600)
        rentals.charge(id_)
        first, second = rentals.payments(id_)
        for payment in (first, second):
            rentals.charge(id_, ChargeState.DISPUTED, payment=payment.id)
        rentals.charge(id_, ChargeState.DISPUTE_WON, payment=second.id)
        assert rentals.contract(id_).state is ContractState.SUSPENDED
        rentals.charge(id_, ChargeState.DISPUTE_WON, payment=first.id)
        assert rentals.contract(id_).state is ContractState.ACTIVE

    def test_losing_takes_back_what_was_released_and_refunds_other_terms(
        self, rentals: Rentals
    ) -> None:
        id_ = rentals.active(10)
        rentals.extend(id_, 5, 600)
        rentals.charge(id_)
        first, second = rentals.payments(id_)
        rentals.pass_hours(4)
        rentals.charge(id_, ChargeState.DISPUTED, payment=first.id)
        rentals.charge(id_, ChargeState.DISPUTE_LOST, payment=first.id)
        term, other = rentals.terms(id_)
        (refund,) = rentals.refunds(id_)
        assert rentals.contract(id_).state is ContractState.CANCELLED
        assert (term.lost_minor, term.released_minor, term.fee_minor) == (1_000, 0, 0)
        assert (refund.payment, refund.amount_minor) == (second.id, 600)
        assert other.released_minor == 0
        assert f"payable/{PROVIDER}" not in rentals.balances()
        rentals.read(lambda uow: check_books(uow, (id_,)))

    def test_losing_after_the_end_takes_the_earnings_below_zero_if_they_are_gone(
        self, rentals: Rentals
    ) -> None:
        id_ = rentals.active(10)
        rentals.pass_hours(10)
        rentals.step(id_, ContractEvent.TERM_ENDED, ContractEvent.DEADLINE_PASSED)
        assert rentals.balances()[f"payable/{PROVIDER}"] == 950
        rentals.charge(id_, ChargeState.DISPUTE_LOST)
        assert rentals.contract(id_).state is ContractState.COMPLETED
        assert rentals.balances() == {}
        assert rentals.terms(id_)[0].lost_minor == 1_000

    def test_a_decision_that_turns_after_it_was_won_is_lost(self, rentals: Rentals) -> None:
        id_ = rentals.active(10)
        rentals.charge(id_, ChargeState.DISPUTE_WON)
        assert rentals.contract(id_).state is ContractState.ACTIVE
        rentals.charge(id_, ChargeState.DISPUTE_LOST)
        assert rentals.payments(id_)[0].state is PaymentState.LOST
        assert rentals.contract(id_).state is ContractState.CANCELLED
        assert rentals.balances() == {}


def test_what_happened_reaches_the_payers_stream(rentals: Rentals) -> None:
    id_ = rentals.active(10)
    rentals.charge(id_, ChargeState.DISPUTED)
    events = rentals.read(lambda uow: uow.outbox.read_stream(f"account/{TENANT}", 0, 100))
    assert [event.data["state"] for event in events if event.kind == "payment"] == [
        "settled",
        "disputed",
    ]


def test_a_payment_is_watched_until_nothing_can_change_it(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_)
    rentals.write(lambda uow: payments.watch(uow, payment, rentals.now_ms))
    rentals.write(lambda uow: payments.watch(uow, payment, rentals.now_ms))
    key = f"payment.watch:{payment.id}"
    assert rentals.read(lambda uow: uow.jobs.get(key)) is not None
    lost = rentals.charge(id_, ChargeState.DISPUTE_LOST)
    assert payments.is_final(lost)
    other = rentals.charge(rentals.order(), ChargeState.FAILED)
    rentals.write(lambda uow: payments.watch(uow, other, rentals.now_ms))
    assert rentals.read(lambda uow: uow.jobs.get(f"payment.watch:{other.id}")) is None


def test_a_payment_without_its_contract_is_an_error(rentals: Rentals) -> None:
    id_ = rentals.order()
    stray = replace(rentals.payments(id_)[0], contract=ContractId("c9"))
    with pytest.raises(Internal):
        rentals.write(lambda uow: payments.expire(uow, stray, rentals.now_ms))


def test_a_charge_of_nothing_is_a_mismatch_that_leaves_nothing_to_return(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_, received=Money(0, Asset.USD))
    rentals.write(lambda uow: payments.decide_review(uow, SYSTEM, payment.id, False, 1))
    assert rentals.payments(id_)[0].state is PaymentState.RETURNED
    assert rentals.refunds(id_) == ()

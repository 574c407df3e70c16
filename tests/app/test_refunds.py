"""Money goes back: once, to where it came from, whatever the processor says and how often."""

from __future__ import annotations

import pytest

from decent_cloud.app import payments, refunds
from decent_cloud.app.caller import SYSTEM
from decent_cloud.app.ports.processors import ChargeState, SentRefund, SentState
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.clock import DAY_MS
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import ContractId, RefundId
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import RefundState
from tests.support.rentals import CREDIT, PROVIDER, TENANT, Rentals, check_books

PAID, FAILED, PENDING = SentState.SUCCEEDED, SentState.FAILED, SentState.PENDING


@pytest.fixture
def rentals() -> Rentals:
    return Rentals()


def sent(rentals: Rentals, refund: Refund) -> Refund:
    return rentals.write(lambda uow: refunds.mark_sent(uow, refund.id, rentals.now_ms))


def told(rentals: Rentals, refund: Refund, state: SentState, attempt: int = 0) -> Refund:
    chosen = attempt or refund.attempts
    answer = SentRefund(f"re_{refund.id}_{chosen}", state)
    return rentals.write(
        lambda uow: refunds.apply_sent(uow, refund.id, chosen, answer, rentals.now_ms)
    )


def runs_at_ms(rentals: Rentals, key: str) -> int:
    job = rentals.read(lambda uow: uow.jobs.get(key))
    return job.run_at_ms if job else 0


def cancelled(rentals: Rentals, served_hours: int = 4) -> tuple[ContractId, Refund]:
    """A rental of 10 hours for 1,000 that its tenant cancels after some hours."""
    id_ = rentals.active(10)
    rentals.pass_hours(served_hours)
    rentals.step(id_, ContractEvent.CANCELLED)
    (refund,) = rentals.refunds(id_)
    return id_, refund


def test_a_cancelled_rental_gives_back_the_unserved_part(rentals: Rentals) -> None:
    id_, refund = cancelled(rentals)
    assert (refund.id, refund.amount_minor) == (f"{id_}.1.p1.r1", 600)
    assert refund.state is RefundState.PLANNED
    assert rentals.balances() == {
        "processor/sandbox": 1_000,
        f"held/{id_}.1": 600,
        f"payable/{PROVIDER}": 380,
        "income/platform_fee": 20,
    }


def test_a_rental_that_never_came_up_gives_everything_back(rentals: Rentals) -> None:
    id_ = rentals.order()
    rentals.charge(id_)
    rentals.step(id_, ContractEvent.CREATE_STARTED, ContractEvent.PROVISION_FAILED)
    (refund,) = rentals.refunds(id_)
    assert refund.amount_minor == 1_000
    assert f"payable/{PROVIDER}" not in rentals.balances()


def test_it_is_sent_then_confirmed_and_the_books_follow(rentals: Rentals) -> None:
    id_, refund = cancelled(rentals)
    on_its_way = sent(rentals, refund)
    assert on_its_way.state is RefundState.SENT
    assert rentals.balances()[f"transit/{refund.id}"] == 600
    assert f"held/{id_}.1" not in rentals.balances()
    done = told(rentals, on_its_way, PAID)
    assert done.state is RefundState.CONFIRMED
    assert rentals.balances()["processor/sandbox"] == 400
    assert f"transit/{refund.id}" not in rentals.balances()
    assert rentals.terms(id_)[0].refunded_minor == 600
    assert rentals.payments(id_)[0].refunded_minor == 600


def test_marking_or_hearing_twice_changes_nothing(rentals: Rentals) -> None:
    _, refund = cancelled(rentals)
    on_its_way = sent(rentals, refund)
    assert sent(rentals, refund) == on_its_way
    told(rentals, on_its_way, PENDING)
    done = told(rentals, on_its_way, PAID)
    books = rentals.balances()
    for state in (PAID, PENDING):
        assert told(rentals, done, state) == done
    assert rentals.balances() == books


def test_planning_again_plans_nothing_more(rentals: Rentals) -> None:
    id_, refund = cancelled(rentals)
    contract = rentals.contract(id_)

    def again() -> tuple[Refund, ...]:
        return rentals.write(
            lambda uow: refunds.refund_rest(uow, contract, rentals.now_ms, "again")
        )

    assert again() == ()
    told(rentals, sent(rentals, refund), PAID)
    assert again() == ()


def test_a_failure_is_tried_three_times_and_then_credited(rentals: Rentals) -> None:
    id_, refund = cancelled(rentals)
    for attempt in (1, 2):
        on_its_way = sent(rentals, refund)
        assert on_its_way.attempts == attempt
        planned = told(rentals, on_its_way, FAILED)
        assert planned.state is RefundState.PLANNED
        assert rentals.balances()[f"held/{id_}.1"] == 600
        assert runs_at_ms(rentals, f"refund.send:{refund.id}:{attempt + 1}") > rentals.now_ms
    credited = told(rentals, sent(rentals, refund), FAILED)
    assert credited.state is RefundState.CREDITED
    assert rentals.balances()[f"credit/{TENANT}"] == 600
    term = rentals.terms(id_)[0]
    assert (term.refunded_minor, term.credited_minor) == (0, 600)
    rentals.read(lambda uow: check_books(uow, (id_,)))


def test_the_failure_of_an_earlier_attempt_is_no_word_about_this_one(rentals: Rentals) -> None:
    _, refund = cancelled(rentals)
    told(rentals, sent(rentals, refund), FAILED)
    second = sent(rentals, refund)
    assert told(rentals, second, FAILED, attempt=1) == second
    assert told(rentals, second, PAID).state is RefundState.CONFIRMED


def test_a_refund_that_the_rail_gives_back_is_sent_again(rentals: Rentals) -> None:
    id_, refund = cancelled(rentals)
    told(rentals, sent(rentals, refund), PAID)
    back = told(rentals, rentals.refunds(id_)[0], FAILED)
    assert back.state is RefundState.PLANNED
    assert rentals.balances()["processor/sandbox"] == 1_000
    assert rentals.balances()[f"held/{id_}.1"] == 600
    assert told(rentals, back, FAILED) == back
    assert told(rentals, sent(rentals, refund), PAID).state is RefundState.CONFIRMED


def test_credit_returns_to_credit_at_once(rentals: Rentals) -> None:
    rentals.give_credit(1_000)
    id_ = rentals.active(10, pay=CREDIT)
    rentals.pass_hours(4)
    rentals.step(id_, ContractEvent.CANCELLED)
    (refund,) = rentals.refunds(id_)
    assert refund.state is RefundState.CREDITED
    assert rentals.balances()[f"credit/{TENANT}"] == 600
    assert rentals.terms(id_)[0].credited_minor == 600


def test_late_money_in_another_asset_goes_back_in_that_asset(rentals: Rentals) -> None:
    id_ = rentals.order()
    rentals.step(id_, ContractEvent.CANCELLED)
    payment = rentals.charge(id_, received=Money(77, Asset.EUR))
    (refund,) = rentals.refunds(id_)
    assert (refund.asset, refund.amount_minor) == (Asset.EUR, 77)
    told(rentals, sent(rentals, refund), PAID)
    assert rentals.balances() == {}
    assert rentals.payments(id_)[0].id == payment.id


class TestDisputed:
    def disputed(self, rentals: Rentals) -> tuple[ContractId, Refund]:
        """Cancelled while disputed: a refund is planned and must wait."""
        id_ = rentals.active(10)
        rentals.pass_hours(4)
        rentals.charge(id_, ChargeState.DISPUTED)
        rentals.step(id_, ContractEvent.CANCELLED)
        (refund,) = rentals.refunds(id_)
        return id_, refund

    def test_nothing_is_sent_while_disputed(self, rentals: Rentals) -> None:
        _, refund = self.disputed(rentals)
        assert sent(rentals, refund).state is RefundState.PLANNED

    def test_after_it_is_won_the_refund_goes_out(self, rentals: Rentals) -> None:
        id_, refund = self.disputed(rentals)
        rentals.charge(id_, ChargeState.DISPUTE_WON)
        assert sent(rentals, refund).state is RefundState.SENT

    def test_after_it_is_lost_the_tenant_has_the_money_already(self, rentals: Rentals) -> None:
        id_, refund = self.disputed(rentals)
        rentals.charge(id_, ChargeState.DISPUTE_LOST)
        (closed,) = rentals.refunds(id_)
        assert (closed.state, closed.external) == (RefundState.CONFIRMED, "dispute")
        assert sent(rentals, refund).state is RefundState.CONFIRMED
        assert rentals.terms(id_)[0].lost_minor == 1_000
        assert rentals.balances() == {}

    def test_a_refund_on_its_way_when_it_is_lost_is_our_loss(self, rentals: Rentals) -> None:
        id_, refund = cancelled(rentals)
        on_its_way = sent(rentals, refund)
        rentals.charge(id_, ChargeState.DISPUTE_LOST)
        told(rentals, on_its_way, PAID)
        assert rentals.balances() == {"processor/sandbox": -600, "loss/disputes": 600}
        rentals.read(lambda uow: check_books(uow, (id_,)))

    def test_if_that_refund_comes_back_the_loss_is_reversed(self, rentals: Rentals) -> None:
        id_, refund = cancelled(rentals)
        on_its_way = sent(rentals, refund)
        rentals.charge(id_, ChargeState.DISPUTE_LOST)
        closed = told(rentals, on_its_way, FAILED)
        assert (closed.state, closed.external) == (RefundState.CONFIRMED, "dispute")
        assert rentals.balances() == {}
        assert rentals.terms(id_)[0].lost_minor == 1_000
        rentals.read(lambda uow: check_books(uow, (id_,)))

    def test_what_was_credited_is_taken_from_credit_and_the_rest_is_owed(
        self, rentals: Rentals
    ) -> None:
        id_, refund = cancelled(rentals)
        for _ in range(3):
            told(rentals, sent(rentals, refund), FAILED)
        rentals.active(10, total_minor=500, pay=CREDIT)
        rentals.charge(id_, ChargeState.DISPUTE_LOST)
        assert rentals.balances()[f"owed/{TENANT}"] == 500
        assert f"credit/{TENANT}" not in rentals.balances()
        rentals.read(lambda uow: check_books(uow, (id_,)))


def test_a_surplus_not_sent_yet_stays_with_us_after_a_lost_dispute(rentals: Rentals) -> None:
    id_ = rentals.order()
    payment = rentals.charge(id_, received=Money(1_100, Asset.USD))
    rentals.write(lambda uow: payments.decide_review(uow, SYSTEM, payment.id, True, rentals.now_ms))
    rentals.charge(id_, ChargeState.DISPUTE_LOST, received=Money(1_100, Asset.USD))
    assert rentals.balances() == {}
    assert rentals.refunds(id_)[0].state is RefundState.CONFIRMED


def test_a_refund_that_does_not_move_raises_an_alarm_once_a_deadline(rentals: Rentals) -> None:
    _, refund = cancelled(rentals)
    rentals.now_ms += DAY_MS
    for _ in range(2):
        rentals.write(lambda uow: refunds.remind(uow, refunds.get(uow, refund.id), rentals.now_ms))
    alarms = rentals.read(lambda uow: uow.outbox.read_stream("platform/alarms", 0, 10))
    assert [event.subject for event in alarms] == [refund.id]


def test_a_refund_that_does_not_exist_is_an_error(rentals: Rentals) -> None:
    with pytest.raises(Internal):
        rentals.read(lambda uow: refunds.get(uow, RefundId("c9.1.p1.r1")))

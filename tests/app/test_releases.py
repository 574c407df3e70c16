"""Held money becomes the provider's by served time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.app.balances import mine, trial_balance
from decent_cloud.app.caller import SYSTEM, Caller, CallerKind
from decent_cloud.app.ports.processors import ChargeState
from decent_cloud.app.releases import book_penalty, release_earned
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.kernel.errors import AlreadyExists, Forbidden
from decent_cloud.kernel.ids import ContractId, Kid
from tests.support.rentals import PROVIDER, TENANT, Rentals, check_books


@pytest.fixture
def rentals() -> Rentals:
    return Rentals()


def release(rentals: Rentals, id_: ContractId) -> None:
    rentals.write(lambda uow: release_earned(uow, rentals.contract_in(uow, id_), rentals.now_ms))


def test_each_hour_books_the_difference(rentals: Rentals) -> None:
    id_ = rentals.active(hours=7, total_minor=1_000)
    earned = []
    for _ in range(9):
        rentals.pass_hours(1)
        release(rentals, id_)
        earned.append(rentals.terms(id_)[0].released_minor)
    assert earned == [142, 285, 428, 571, 714, 857, 1_000, 1_000, 1_000]
    assert rentals.balances() == {
        "processor/sandbox": 1_000,
        f"payable/{PROVIDER}": 950,
        "income/platform_fee": 50,
    }


def test_releasing_twice_at_one_moment_books_once(rentals: Rentals) -> None:
    id_ = rentals.active()
    rentals.pass_hours(3)
    release(rentals, id_)
    before = rentals.terms(id_)
    release(rentals, id_)
    assert rentals.terms(id_) == before


def test_nothing_is_earned_before_the_clock_runs(rentals: Rentals) -> None:
    id_ = rentals.order()
    rentals.charge(id_)
    rentals.pass_hours(5)
    release(rentals, id_)
    assert rentals.terms(id_)[0].released_minor == 0


def test_suspended_time_earns_nothing(rentals: Rentals) -> None:
    id_ = rentals.active(hours=10)
    rentals.pass_hours(2)
    rentals.charge(id_, ChargeState.DISPUTED)
    rentals.pass_hours(100)
    release(rentals, id_)
    assert rentals.terms(id_)[0].released_minor == 200
    rentals.charge(id_, ChargeState.DISPUTE_WON)
    rentals.pass_hours(1)
    release(rentals, id_)
    assert rentals.terms(id_)[0].released_minor == 300


def test_terms_earn_in_their_order_at_their_own_price(rentals: Rentals) -> None:
    id_ = rentals.active(hours=2, total_minor=100)
    rentals.extend(id_, 2, 300)
    rentals.charge(id_)
    rentals.pass_hours(3)
    release(rentals, id_)
    assert [term.released_minor for term in rentals.terms(id_)] == [100, 150]


def test_lapsed_time_belongs_to_no_term(rentals: Rentals) -> None:
    id_ = rentals.active(hours=2, total_minor=100)
    rentals.pass_hours(2)
    rentals.step(id_, ContractEvent.TERM_ENDED)
    rentals.pass_hours(5)
    rentals.extend(id_, 2, 300)
    rentals.charge(id_)
    rentals.pass_hours(1)
    release(rentals, id_)
    assert [term.released_minor for term in rentals.terms(id_)] == [100, 150]
    rentals.read(lambda uow: check_books(uow, (id_,)))


def test_a_provider_who_ends_early_pays_the_stated_share_of_the_refund(rentals: Rentals) -> None:
    id_ = rentals.active(hours=10)
    rentals.pass_hours(4)
    rentals.step(id_, ContractEvent.TERMINATED)
    assert rentals.balances()[f"credit/{TENANT}"] == 60
    assert rentals.balances()[f"payable/{PROVIDER}"] == 380 - 60
    ended = rentals.contract(id_)
    with pytest.raises(AlreadyExists):
        rentals.write(lambda uow: book_penalty(uow, ended, rentals.now_ms, 600))


def test_no_penalty_on_nothing_or_on_oneself(rentals: Rentals) -> None:
    contract = rentals.contract(rentals.order())
    own = replace(contract, self_rental=True)
    assert rentals.write(lambda uow: book_penalty(uow, contract, 1, 0)) is None
    assert rentals.write(lambda uow: book_penalty(uow, own, 1, 600)) is None


def test_everyone_sees_their_own_balances_and_an_admin_the_proof(rentals: Rentals) -> None:
    rentals.active(hours=10)
    provider = Caller(PROVIDER, Kid("k"), CallerKind.DEVICE, 0, admin=False)
    id_ = rentals.active(hours=1, total_minor=100)
    rentals.pass_hours(1)
    release(rentals, id_)
    (balance,) = rentals.read(lambda uow: mine(uow, provider))
    assert (balance.account.name, balance.balance_minor) == (f"payable/{PROVIDER}", 95)
    with pytest.raises(Forbidden):
        rentals.read(lambda uow: trial_balance(uow, provider))
    trial = rentals.read(lambda uow: trial_balance(uow, SYSTEM))
    assert trial.rebuilt
    assert [line.debit_minor - line.credit_minor for line in trial.lines] == [0]
    assert len(trial.accounts) == 5

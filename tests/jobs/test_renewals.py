"""Renewals: asked for in the signed order, paid out of credit, and never by surprise."""

from __future__ import annotations

import pytest

from decent_cloud.app import offerings
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.ledger import postings
from decent_cloud.domain.ledger.postings import Booking
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import ContractState
from tests.jobs.test_contract_jobs import Background
from tests.support.rentals import check_books
from tests.support.usecases import Member, Shop

HOURS = 100  # renewed 24 h before the end


@pytest.fixture
def back() -> Background:
    return Background()


@pytest.fixture
def shop(back: Background) -> Shop:
    return back.use.shop()


@pytest.fixture
def tenant(back: Background) -> Member:
    return back.use.account()


def give_credit(back: Background, shop: Shop, tenant: Member, amount_minor: int) -> None:
    at = Booking(f"gift-{back.now_ms()}", back.now_ms(), back.now_ms())
    group = postings.penalty(at, shop.owner.id, tenant.id, Money(amount_minor, Asset.USD))
    back.use.write(lambda uow: uow.ledger.post(group))


def rented(back: Background, shop: Shop, tenant: Member, renew: str = "credit") -> Contract:
    offering = back.use.offering(shop)
    active = back.use.active(shop, tenant, offering, hours=HOURS, renew=renew)
    back.run()
    return active


def test_a_funded_renewal_adds_a_term_a_day_before_the_end(
    back: Background, shop: Shop, tenant: Member
) -> None:
    give_credit(back, shop, tenant, 1_500)
    active = rented(back, shop, tenant)
    back.run_for(76 * HOUR_MS - MINUTE_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 1
    back.run_for(2 * MINUTE_MS)
    first, second = back.use.terms(active)
    assert second.paid
    assert (second.from_ms, second.to_ms) == (first.to_ms, first.to_ms + HOURS * HOUR_MS)
    assert back.use.contract(active).paid_until_ms == second.to_ms
    credit = back.use.read(lambda uow: uow.ledger.balances(tenant.id))
    assert [row.balance_minor for row in credit] == [500]
    back.run_for(HOURS * HOUR_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 2, "the credit covers no third term"
    back.run_for(25 * HOUR_MS, HOUR_MS)
    assert back.use.contract(active).state is ContractState.LAPSED
    back.use.read(lambda uow: check_books(uow, (active.id,)))


def test_credit_that_comes_late_still_counts(back: Background, shop: Shop, tenant: Member) -> None:
    active = rented(back, shop, tenant)
    back.run_for(90 * HOUR_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 1
    give_credit(back, shop, tenant, 1_000)
    back.run_for(2 * HOUR_MS, 10 * MINUTE_MS)
    assert len(back.use.terms(active)) == 2


def test_nobody_renews_what_did_not_ask_for_it(
    back: Background, shop: Shop, tenant: Member
) -> None:
    give_credit(back, shop, tenant, 5_000)
    active = rented(back, shop, tenant, renew="no")
    back.run_for(101 * HOUR_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 1
    assert back.use.contract(active).state is ContractState.LAPSED


def test_an_offer_that_is_gone_is_not_renewed(back: Background, shop: Shop, tenant: Member) -> None:
    give_credit(back, shop, tenant, 5_000)
    active = rented(back, shop, tenant)
    back.use.write(
        lambda uow: offerings.withdraw_offering(
            uow, shop.owner.caller, active.offering, back.now_ms()
        )
    )
    back.run_for(101 * HOUR_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 1


def test_a_suspension_moves_the_renewal(back: Background, shop: Shop, tenant: Member) -> None:
    give_credit(back, shop, tenant, 1_000)
    active = rented(back, shop, tenant)
    back.use.step(active, ContractEvent.SUSPENDED)
    back.run_for(3 * DAY_MS, HOUR_MS)
    back.use.step(active, ContractEvent.RESUMED)
    back.run_for(10 * HOUR_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 1, "most of the time is still there"
    back.run_for(70 * HOUR_MS, HOUR_MS)
    assert len(back.use.terms(active)) == 2


def test_ones_own_machine_is_renewed_for_nothing(back: Background, shop: Shop) -> None:
    active = rented(back, shop, shop.owner)
    back.run_for(80 * HOUR_MS, HOUR_MS)
    first, second = back.use.terms(active)
    assert (first.amount_minor, second.amount_minor) == (0, 0)
    assert back.use.payments(active) == ()


def test_a_short_rental_is_renewed_near_its_end(
    back: Background, shop: Shop, tenant: Member
) -> None:
    give_credit(back, shop, tenant, 1_000)
    offering = back.use.offering(shop)
    active = back.use.active(shop, tenant, offering, hours=4, renew="credit")
    back.run()
    back.run_for(3 * HOUR_MS - MINUTE_MS, 10 * MINUTE_MS)
    assert len(back.use.terms(active)) == 1
    back.run_for(2 * MINUTE_MS)
    assert len(back.use.terms(active)) == 2

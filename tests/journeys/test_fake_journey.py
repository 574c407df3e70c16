"""The main job on a fake cloud, with every other part real: order, machine, credential, end, money."""

from __future__ import annotations

import pytest

from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from devtools.market import Market
from devtools.processes import until

pytestmark = pytest.mark.journey


def test_a_machine_is_rented_used_cancelled_and_settled(market_on_each: Market) -> None:
    """Later: payouts of what was released."""
    market = market_on_each
    agent = market.new_agent()
    agent.start()
    offering = market.offering()

    ordered = market.tenant.rent(offering, hours=2)
    active = market.wait_state(ordered.id, "active")
    (machine,) = market.machines(ordered.id)
    opened = market.tenant.open_credential(ordered.id)
    market.clock.push(30 * MINUTE_MS)
    market.tenant.cancel(ordered.id, "enough")
    market.wait_gone(ordered.id)
    ended = market.wait_refunded(ordered.id)

    assert (opened.access.host, opened.access.port) == (active.host, active.port)
    assert opened.access.host_keys == active.host_keys == (machine.host_key,)
    assert machine.ssh_keys == market.tenant.ssh.public
    assert opened.agent == market.kid(agent)
    (term,) = ended.terms
    # 36 cents an hour, two hours, half an hour served: 18 of 72, the platform's fee out of it.
    assert int(term.released.amount_minor) + int(term.fee.amount_minor) == 18
    assert int(term.refunded.amount_minor) == 54
    assert market.paid_back_minor(ordered.id) == (72, 54)
    assert [each.event for each in market.tenant.history(ordered.id).items] == [
        "ordered",
        "settled",
        "create_started",
        "provisioned",
        "reached",
        "cancelled",
    ]
    market.check_terms(ended)
    market.check_books()
    assert agent.stop() == 0
    assert market.server.stop() == 0


def test_an_extended_rental_runs_out_stops_and_ends(market: Market) -> None:
    """Later: renewal from credit, notices before the end."""
    market.new_agent().start()
    offering = market.offering()
    ordered = market.tenant.rent(offering)
    active = market.wait_state(ordered.id, "active")

    market.tenant.extend(active, offering, hours=2)
    extended = until(
        "the extension is paid",
        lambda: view if len((view := market.tenant.contract(ordered.id)).terms) == 2 else None,
    )
    until(
        "the extension counts",
        lambda: market.tenant.contract(ordered.id).paid_until != active.paid_until,
    )
    market.pass_time(3 * HOUR_MS + MINUTE_MS)
    market.wait_state(ordered.id, "lapsed")
    until(
        "it was stopped",
        lambda: [each.stopped for each in market.cloud.machines(ordered.id)] == [True],
    )
    market.pass_time(24 * HOUR_MS + MINUTE_MS)
    ended = market.wait_state(ordered.id, "completed")
    market.wait_gone(ordered.id)

    assert [int(term.held.amount_minor) for term in ended.terms] == [0, 0]
    assert market.paid_back_minor(ordered.id) == (36 * 3, 0)
    assert extended.terms[1].ordinal == 2
    market.check_terms(ended)
    market.check_books()


def test_a_machine_that_cannot_be_made_costs_nothing(market: Market) -> None:
    market.new_agent().start()
    offering = market.offering()
    market.cloud.fail_next(Verb.CREATE, Fault.NO_CAPACITY)

    ordered = market.tenant.rent(offering)
    market.wait_state(ordered.id, "failed")
    ended = market.wait_refunded(ordered.id)

    assert market.paid_back_minor(ordered.id) == (36, 36)
    assert market.machines(ordered.id) == ()
    market.check_terms(ended)
    market.check_books()


def test_a_declined_card_rents_nothing(market: Market) -> None:
    market.new_agent().start()
    offering = market.offering()

    ordered = market.tenant.rent(offering, card="test-declined")
    market.wait_state(ordered.id, "expired")

    assert market.machines(ordered.id) == ()
    assert market.paid_back_minor(ordered.id)[1] == 0
    market.check_books()


def test_ones_own_machine_costs_nothing_and_books_nothing(market: Market) -> None:
    market.new_agent().start()
    offering = market.offering()
    owner = market.provider

    ordered = owner.rent(offering)
    until("it is active", lambda: owner.contract(ordered.id).state == "active")
    opened = owner.open_credential(ordered.id)
    owner.cancel(ordered.id)
    market.wait_gone(ordered.id)

    assert opened.subject.account_id == opened.subject.provider == owner.id
    assert market.charges() == ()
    books = market.operator.books()
    assert [line for line in books.lines if line.debit.amount_minor != "0"] == []


def test_a_provider_ends_a_rental_and_pays_the_stated_penalty(market: Market) -> None:
    market.new_agent().start()
    offering = market.offering(penalty_ppm=500_000)
    ordered = market.tenant.rent(offering, hours=2)
    market.wait_state(ordered.id, "active")

    market.pass_time(HOUR_MS)
    market.provider.terminate(ordered.id, "the rack is moved")
    market.wait_gone(ordered.id)
    ended = market.wait_refunded(ordered.id)

    assert market.paid_back_minor(ordered.id) == (72, 36)
    credit = [each for each in market.tenant.balances() if each.account.startswith("credit/")]
    assert [each.balance.amount_minor for each in credit] == ["18"]
    assert ended.end_reason == "the rack is moved"
    market.check_terms(ended)
    market.check_books()


def test_a_machine_lost_by_its_backend_ends_the_rental_pro_rata(market: Market) -> None:
    market.new_agent().start()
    offering = market.offering()
    ordered = market.tenant.rent(offering, hours=2)
    market.wait_state(ordered.id, "active")
    market.pass_time(HOUR_MS)

    (machine,) = market.cloud.machines(ordered.id)
    market.cloud.vanish(machine.id)
    market.wait_state(ordered.id, "failed")
    ended = market.wait_refunded(ordered.id)

    assert market.paid_back_minor(ordered.id) == (72, 36)
    market.check_terms(ended)
    market.check_books()

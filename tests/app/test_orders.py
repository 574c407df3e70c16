"""Orders: signed by a device, priced to the unit, taken once, and never by an agent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.app import offerings
from decent_cloud.app.caller import ReadOnlyDevice
from decent_cloud.app.orders import ExtensionOpen
from decent_cloud.app.ports.processors import ChargeState
from decent_cloud.app.signed_orders import (
    AgentCannotOrder,
    DebtOpen,
    OrderTooLate,
    TooManyUnpaid,
)
from decent_cloud.domain.catalog.rentable import NotRentable
from decent_cloud.domain.catalog.terms import OfferChanged, PriceChanged
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.domain.keys.devices import Rank
from decent_cloud.domain.keys.errors import BadShape, UnknownHead, WrongSigner
from decent_cloud.domain.keys.orders import sign_order
from decent_cloud.domain.keys.statements import StatementType, sign_statement
from decent_cloud.domain.ledger import accounts as ledger_accounts
from decent_cloud.domain.ledger.transfers import Transfer
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.ids import AccountId, Digest, TransferId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.ssh_keys import BadSshKey
from decent_cloud.kernel.status import ContractState, PaymentState
from tests.support.people import new_keys
from tests.support.usecases import SSH_KEY, Usecases


def test_an_order_becomes_a_contract_that_waits_for_its_money(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    order = use.order_of(tenant, offering)
    contract = use.place(tenant, sign_order(order, tenant.keys))
    assert contract.state is ContractState.REQUESTED
    assert contract.digest == order.digest
    assert contract.total_minor == 100
    assert use.free_units(offering) == 2
    assert [payment.state for payment in use.payments(contract)] == [PaymentState.CREATED]
    assert [term.paid for term in use.terms(contract)] == [False]
    assert [row.event for row in use.history(contract)] == ["ordered"]
    use.charge(contract)
    assert use.contract(contract).state is ContractState.ACCEPTED
    assert [term.paid for term in use.terms(contract)] == [True]


def test_the_same_order_again_gives_the_same_contract_and_takes_nothing_more(
    use: Usecases,
) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    statement = sign_order(use.order_of(tenant, offering), tenant.keys)
    first = use.place(tenant, statement)
    use.wait(30 * MINUTE_MS)
    again = use.place(tenant, statement)
    assert again.id == first.id
    assert use.free_units(offering) == 2
    assert len(use.payments(first)) == 1


def test_an_agent_never_orders(use: Usecases) -> None:
    shop = use.shop()
    offering = use.offering(shop)
    order = use.order_of(shop.owner, offering)
    by_owner = sign_order(order, shop.owner.keys)
    with pytest.raises(AgentCannotOrder):
        use.place(shop.owner, by_owner, None, shop.agent.caller)
    by_agent = sign_order(order, shop.agent.keys)
    with pytest.raises(AgentCannotOrder):
        use.place(shop.owner, by_agent, None)


def test_an_order_is_signed_by_a_device_of_the_caller_that_may(use: Usecases) -> None:
    shop, tenant, other = use.shop(), use.account(), use.account()
    offering = use.offering(shop)
    order = use.order_of(tenant, offering)
    with pytest.raises(WrongSigner):
        use.place(tenant, sign_order(order, new_keys()))
    with pytest.raises(WrongSigner):
        use.place(other, sign_order(order, tenant.keys))
    reader = tenant.caller_of(tenant.keys, Rank.READER)
    with pytest.raises(ReadOnlyDevice):
        use.place(tenant, sign_order(order, tenant.keys), caller=reader)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"total_amount_minor": 99}, PriceChanged),
        ({"total_amount_minor": 101}, PriceChanged),
        ({"total_asset": "EUR"}, PriceChanged),
        ({"hours": 721, "total_amount_minor": 7210}, NotRentable),
        ({"offer_digest": Digest("0" * 64)}, OfferChanged),
        ({"not_after_s": 1_799_999_999}, OrderTooLate),
        ({"head": Pin(7, Digest("0" * 64))}, UnknownHead),
        ({"extends": Digest("0" * 64)}, Invalid),
        ({"provider": AccountId("1" * 64)}, Invalid),
        ({"ssh_keys": ()}, Invalid),
        ({"ssh_keys": (SSH_KEY,) * 17}, Invalid),
        ({"ssh_keys": (SSH_KEY, 'command="sh" ' + SSH_KEY)}, BadSshKey),
        ({"ssh_keys": ("ssh-ed25519 nonsense",)}, BadSshKey),
    ],
)
def test_an_order_that_does_not_fit_is_refused_and_takes_nothing(
    use: Usecases, changes: dict[str, Any], error: type[Exception]
) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    with pytest.raises(error):
        use.order(tenant, offering, **changes)
    assert use.free_units(offering) == 3
    assert use.read(lambda uow: uow.contracts.unpaid_of(tenant.id)) == 0


def test_the_bad_key_is_named(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    with pytest.raises(BadSshKey) as refused:
        use.order(tenant, offering, ssh_keys=(SSH_KEY, "no"))
    assert refused.value.field == "order.ssh_keys.1"


def test_a_foreign_machine_is_never_free(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    payload: Any = use.order_of(tenant, use.offering(shop), total_amount_minor=0).to_json()
    statement = sign_statement(StatementType.ORDER, payload, [tenant.keys])
    with pytest.raises(BadShape):
        use.place(tenant, statement)


def test_an_order_is_good_for_its_last_second(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    use.now_ms += 999
    contract = use.order(tenant, offering, not_after_s=use.now_ms // 1_000)
    assert contract.state is ContractState.REQUESTED


def test_two_unpaid_orders_are_the_most(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    first = use.order(tenant, offering)
    use.order(tenant, offering)
    with pytest.raises(TooManyUnpaid):
        use.order(tenant, offering)
    use.charge(first)
    assert use.order(tenant, offering).state is ContractState.REQUESTED


def test_stock_is_never_sold_twice(use: Usecases) -> None:
    shop = use.shop()
    offering = use.offering(shop, stock=1)
    contract = use.order(use.account(), offering)
    with pytest.raises(NotRentable) as refused:
        use.order(use.account(), offering)
    assert refused.value.details["because"] == "sold_out"
    use.wait(10 * MINUTE_MS)
    use.deadlines()
    assert use.contract(contract).state is ContractState.EXPIRED
    use.beat(shop.agent)
    assert use.order(use.account(), offering).state is ContractState.REQUESTED


def test_who_owes_money_orders_nothing(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    debt = Transfer(
        id=TransferId("debt"),
        debit=ledger_accounts.owed(tenant.id, Asset.USD),
        credit=ledger_accounts.account(ledger_accounts.AccountKind.BAD_DEBT, "", Asset.USD),
        amount_minor=1,
        kind="dispute_lost",
        reference="debt",
        booked_at_ms=use.now_ms,
        occurred_at_ms=use.now_ms,
    )
    unfloored = replace(debt, credit=replace(debt.credit, floored=False))
    use.write(lambda uow: uow.ledger.post((unfloored,)))
    with pytest.raises(DebtOpen):
        use.order(tenant, offering)


def test_what_is_not_shared_with_the_tenant_does_not_exist_for_it(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop, visibility="private")
    with pytest.raises(NotFound):
        use.order(tenant, offering)


def test_an_offer_signed_anew_makes_orders_of_the_old_one_void(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    statement = sign_order(use.order_of(tenant, offering), tenant.keys)
    withdrawn = use.write(
        lambda uow: offerings.withdraw_offering(uow, shop.owner.caller, offering.id, use.now_ms)
    ).offering
    with pytest.raises(NotFound):
        use.place(tenant, statement)
    use.publish(shop, withdrawn)
    with pytest.raises(OfferChanged):
        use.place(tenant, statement)


def test_money_must_be_named_except_for_ones_own_machine(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop, accept_mode="manual")
    with pytest.raises(Invalid) as refused:
        use.order(tenant, offering, pay=None)
    assert refused.value.field == "pay"
    own = use.order(shop.owner, offering, pay=None)
    assert own.self_rental
    assert own.state is ContractState.ACCEPTED, "nobody is asked about one's own"
    assert use.payments(own) == ()
    assert [(term.paid, term.amount_minor) for term in use.terms(own)] == [(True, 0)]
    use.provision(shop.agent, shop.owner, own)
    active = use.step(own, ContractEvent.REACHED)
    use.wait(3 * HOUR_MS)
    use.beat(shop.agent)
    longer = use.extend(shop.owner, active, offering, None, hours=2)
    assert longer.paid_until_ms == active.paid_until_ms + 2 * HOUR_MS
    use.cancel(shop.owner, own)
    assert use.contract(own).state is ContractState.CANCELLED
    assert use.refunds(own) == ()
    assert use.read(lambda uow: uow.ledger.balances("")) == ()


def test_an_extension_that_is_paid_makes_the_contract_longer(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    active = use.active(shop, tenant, offering)
    order = use.order_of(tenant, offering, extends=active.digest, hours=5)
    statement = sign_order(order, tenant.keys)
    unpaid = use.send_extension(tenant, active, statement)
    assert unpaid.paid_until_ms == active.paid_until_ms, "unpaid time is no time"
    use.charge(active)
    assert use.send_extension(tenant, active, statement).id == active.id
    first, second = use.terms(active)
    assert (first.to_ms, second.from_ms) == (active.paid_until_ms, active.paid_until_ms)
    assert second.to_ms == active.paid_until_ms + 5 * HOUR_MS
    assert use.contract(active).paid_until_ms == second.to_ms
    assert use.contract(active).version == active.version + 1
    found = use.read(lambda uow: uow.contracts.by_digest(order.digest))
    assert found is not None
    assert found.id == active.id


def test_one_extension_waits_for_its_payment_at_a_time(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    active = use.active(shop, tenant, offering)
    use.extend(tenant, active, offering, hours=5)
    with pytest.raises(ExtensionOpen):
        use.extend(tenant, active, offering, hours=5)
    use.charge(active, ChargeState.FAILED)
    assert use.extend(tenant, active, offering, hours=6).state is ContractState.ACTIVE


def test_an_extension_names_its_contract_and_its_offering(use: Usecases) -> None:
    shop, tenant, other = use.shop(), use.account(), use.account()
    offering, another = use.offering(shop), use.offering(shop)
    active = use.active(shop, tenant, offering)
    with pytest.raises(Invalid):
        use.extend(tenant, active, offering, extends=Digest("0" * 64))
    with pytest.raises(Invalid):
        use.extend(tenant, active, another)
    with pytest.raises(NotFound):
        use.extend(other, active, offering)


def test_only_what_runs_or_just_lapsed_is_extended(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    contract = use.paid(tenant, offering)
    with pytest.raises(IllegalTransition):
        use.extend(tenant, contract, offering)


def test_a_full_house_extends_its_guests(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop, stock=1)
    active = use.active(shop, tenant, offering)
    assert use.extend(tenant, active, offering).state is ContractState.ACTIVE

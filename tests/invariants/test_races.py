"""Invariants 1, 4 and 5 under real concurrency: many units at once on one database, none of them lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from decent_cloud.app import assignments, contracts, orders, payments, reports
from decent_cloud.app.ports.processors import Charge, ChargeState
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.rentable import NotRentable
from decent_cloud.domain.contracts.assignment import LeaseTaken
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.keys.orders import sign_order
from decent_cloud.kernel.errors import Conflict, DecentError, Kind
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import ContractState
from decent_cloud.wire.v1.assignments import TakeLease
from decent_cloud.wire.v1.contracts import EndContract, PlaceOrder
from tests.contracts.conftest import Held
from tests.support.rentals import check_books
from tests.support.usecases import CARD, FEE_PPM, Member, Shop, Usecases, wire

T = TypeVar("T")


def at_once(held: Held, units: Iterable[Callable[[UnitOfWork], T]]) -> list[T | DecentError]:
    """Run units at the same time; a refusal is a result."""

    async def all_of_them() -> list[T | BaseException]:
        return await asyncio.gather(
            *(held.database.write(unit) for unit in units), return_exceptions=True
        )

    found: list[T | DecentError] = []
    for result in held.run(all_of_them()):
        if isinstance(result, DecentError):
            assert result.kind is not Kind.INTERNAL, result
        elif isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


def test_of_many_orders_as_many_pass_as_there_are_units(held: Held) -> None:
    use = Usecases(held)
    shop = use.shop()
    offering = use.offering(shop, stock=4)

    def order() -> Callable[[UnitOfWork], object]:
        tenant = use.account()
        statement = sign_order(use.order_of(tenant, offering), tenant.keys)
        command = PlaceOrder(order=wire(statement), pay=CARD)
        id_ = ContractId(use.ids.new("c", use.now_ms))
        return lambda uow: orders.place_order(uow, tenant.caller, command, use.now_ms, id_, FEE_PPM)

    results = at_once(held, [order() for _ in range(12)])
    refused = [one for one in results if isinstance(one, DecentError)]
    assert len(refused) == 8
    assert all(isinstance(one, NotRentable) for one in refused)
    assert use.free_units(offering) == 0


def test_one_order_sent_many_times_at_once_is_one_contract(held: Held) -> None:
    use = Usecases(held)
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    command = PlaceOrder(
        order=wire(sign_order(use.order_of(tenant, offering), tenant.keys)), pay=CARD
    )

    def place(id_: str) -> Callable[[UnitOfWork], object]:
        return lambda uow: orders.place_order(
            uow, tenant.caller, command, use.now_ms, ContractId(id_), FEE_PPM
        )

    results = at_once(held, [place(use.ids.new("c", use.now_ms)) for _ in range(8)])
    assert all(not isinstance(one, DecentError) or isinstance(one, Conflict) for one in results)
    assert use.free_units(offering) == 2
    assert use.read(lambda uow: uow.contracts.unpaid_of(tenant.id)) == 1


def test_one_lease_is_given_to_one_of_many_agents(held: Held) -> None:
    use = Usecases(held)
    shop, tenant = use.shop(), use.account()
    crowd = [use.agent(shop.owner, shop.pool.id, scope=f"engine-{n}") for n in range(6)]
    contract = use.paid(tenant, use.offering(shop))
    results = at_once(
        held,
        [
            lambda uow, agent=agent: assignments.take_lease(  # type: ignore[misc]
                uow, agent.caller, contract.id, TakeLease(scope=agent.scope), use.now_ms
            )
            for agent in crowd
        ],
    )
    refused = [one for one in results if isinstance(one, DecentError)]
    assert len(refused) == 5
    assert all(isinstance(one, LeaseTaken) for one in refused)
    assert use.assignment(contract).fence == 1


def collide(held: Held, use: Usecases, rented: tuple[Shop, Member, Offering]) -> Contract:
    """Cancel, terminate, report and dispute one contract at the same moment."""
    shop, tenant, offering = rented
    contract = use.paid(tenant, offering)
    fence = use.creating(shop.agent, contract)
    success = use.success(shop.agent, tenant, contract, fence)
    (payment,) = use.payments(contract)
    took = Money(payment.amount_minor, payment.asset)
    disputed = Charge(f"ch_{payment.id}", ChargeState.DISPUTED, took)
    over = EndContract(reason="over")
    units: list[Callable[[UnitOfWork], object]] = [
        lambda uow: contracts.cancel(uow, tenant.caller, contract.id, over, use.now_ms),
        lambda uow: contracts.terminate(uow, shop.owner.caller, contract.id, over, use.now_ms),
        lambda uow: reports.report(uow, shop.agent.caller, contract.id, success, use.now_ms),
        lambda uow: payments.apply_charge(uow, payment.id, disputed, use.now_ms),
    ]
    at_once(held, units)
    return use.contract(contract)


def test_what_comes_at_one_moment_ends_in_one_state_with_whole_books(held: Held) -> None:
    use = Usecases(held)
    shop = use.shop()
    rented = (shop, use.account(), use.offering(shop, stock=20))
    ended = [collide(held, use, rented) for _ in range(4)]
    use.read(lambda uow: check_books(uow, tuple(contract.id for contract in ended)))
    assert {contract.state for contract in ended} == {ContractState.CANCELLED}
    assert use.free_units(rented[2]) == 20

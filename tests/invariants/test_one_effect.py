"""Invariant 4: every command and every outside event has at most one effect, however often it comes.

Idempotency keys of requests are tried in tests/http; later work adds payouts, webhooks and password resets.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from decent_cloud.app import contracts, refunds
from decent_cloud.app.ports.processors import ChargeState, SentRefund, SentState
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.keys.orders import sign_order
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.paging import PageRequest
from decent_cloud.kernel.status import ContractState, Observed
from decent_cloud.wire.v1.assignments import TerminatedReport
from tests.support.usecases import SCOPE, Usecases

PAGE = PageRequest(limit=100)


def everything(uow: UnitOfWork, tenant: AccountId, provider: AccountId) -> object:
    """All that a replay could change: contracts, terms, payments, refunds, work, stock, books."""
    rows = uow.contracts.of_tenant(tenant, PAGE).items
    return (
        rows,
        [uow.contracts.terms(row.id) for row in rows],
        [uow.contracts.history(row.id) for row in rows],
        [uow.contracts.credential(row.id) for row in rows],
        [uow.payments.of_contract(row.id) for row in rows],
        [uow.payments.refunds_of(row.id) for row in rows],
        [uow.assignments.get(row.id) for row in rows],
        uow.offerings.of_provider(provider, PAGE).items,
        sorted(uow.ledger.balances(""), key=lambda row: row.account.name),
    )


def test_replaying_a_whole_rental_changes_nothing(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    said: list[Callable[[], object]] = []

    def say(act: Callable[[], object]) -> None:
        said.append(act)
        act()

    statement = sign_order(use.order_of(tenant, offering), tenant.keys)
    contract = use.place(tenant, statement)
    say(lambda: use.place(tenant, statement))
    (first,) = use.payments(contract)
    say(lambda: use.charge(contract, ChargeState.SUCCEEDED, first))
    fence = use.lease(shop.agent, contract).fence
    say(lambda: use.start_create(shop.agent, contract, fence))
    success = use.success(shop.agent, tenant, contract, fence)
    say(lambda: use.report(shop.agent, contract, success))
    active = use.step(contract, ContractEvent.REACHED)
    use.wait(HOUR_MS)
    use.beat(shop.agent)
    longer = sign_order(use.order_of(tenant, offering, extends=active.digest, hours=3), tenant.keys)
    say(lambda: use.send_extension(tenant, active, longer))
    second = use.payments(contract)[-1]
    say(lambda: use.charge(contract, ChargeState.SUCCEEDED, second))
    say(lambda: use.charge(contract, ChargeState.DISPUTED, second))
    say(lambda: use.charge(contract, ChargeState.DISPUTE_WON, second))
    use.wait(HOUR_MS)
    say(lambda: use.health(shop.agent, contract, Observed.RUNNING))
    say(lambda: use.cancel(tenant, contract))
    say(lambda: use.report(shop.agent, contract, TerminatedReport(scope=SCOPE)))
    for refund in use.refunds(contract):
        sent = SentRefund(f"re_{refund.id}", SentState.SUCCEEDED)
        use.write(lambda uow, id_=refund.id: refunds.mark_sent(uow, id_, use.now_ms))  # type: ignore[misc]
        say(
            lambda id_=refund.id, sent=sent: use.write(  # type: ignore[misc]
                lambda uow: refunds.apply_sent(uow, id_, 1, sent, use.now_ms)
            )
        )
    before = use.read(lambda uow: everything(uow, tenant.id, shop.owner.id))
    chance = random.Random(7)
    refused = 0
    for _ in range(5):
        chance.shuffle(said)
        use.wait(HOUR_MS)
        for act in said:
            try:
                act()
            except DecentError as refusal:
                refused += 1
                if refusal.kind is Kind.INTERNAL:
                    raise
    after = use.read(lambda uow: everything(uow, tenant.id, shop.owner.id))
    assert after == before
    assert refused > 0, "some things can be said once only"
    ended = use.contract(contract)
    assert ended.state is ContractState.CANCELLED
    assert len(use.refunds(contract)) == 2


def test_a_deadline_applied_twice_moves_once(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    contract = use.order(tenant, use.offering(shop))
    use.wait(HOUR_MS)
    for _ in range(3):
        assert use.write(lambda uow: contracts.apply_deadline(uow, contract.id, use.now_ms))
    assert [row.event for row in use.history(contract)] == ["ordered", "deadline_passed"]

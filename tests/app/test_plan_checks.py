"""Agents compare what is offered with their backends; what none of them can make is not rented."""

from __future__ import annotations

from typing import Any

import pytest

from decent_cloud.app import agents, offerings, plan_checks
from decent_cloud.app.agents import AgentNotAllowed
from decent_cloud.app.offerings import OfferingDetails
from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.domain.catalog.rentable import Hindrance, NotRentable
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.paging import PageRequest
from decent_cloud.kernel.status import Permission, PlanState
from decent_cloud.wire.v1.agents import Heartbeat, Inventory
from decent_cloud.wire.v1.plan_checks import PlanProblemWire, PlanWord, PlanWords
from tests.support.usecases import Agent, Member, Shop, Usecases, a_draft

SOLD_OUT = PlanProblemWire(check="plan", detail="cx22: sold out in fsn1", cure="offer another")


def say(
    use: Usecases, agent: Agent, offering: Offering, *problems: PlanProblemWire, **changed: Any
) -> int:
    fields: dict[str, Any] = {"offering": offering.id, "revision": offering.version, **changed}
    words = PlanWords(items=(PlanWord(problems=problems, **fields),))
    return use.write(lambda uow: plan_checks.take_words(uow, agent.caller, words, use.now_ms))


def seen(use: Usecases, member: Member, offering: Offering) -> OfferingDetails:
    return use.read(
        lambda uow: offerings.read_offering(uow, member.caller, offering.id, use.now_ms)
    )


def offered(use: Usecases, agent: Agent) -> tuple[Offering, ...]:
    caller = agent.caller
    return use.read(lambda uow: plan_checks.offered(uow, caller, PageRequest(), use.now_ms)).items


def stored(use: Usecases, offering: Offering) -> Offering:
    found = use.read(lambda uow: uow.offerings.get(offering.id))
    assert found is not None
    return found


def published(use: Usecases, shop: Shop) -> Offering:
    return stored(use, use.offering(shop))


def test_what_its_agent_cannot_make_is_not_rented_and_its_provider_reads_why(
    use: Usecases,
) -> None:
    shop, tenant = use.shop(), use.account()
    offering = published(use, shop)
    assert say(use, shop.agent, offering, SOLD_OUT) == 1
    for_tenant, for_owner = seen(use, tenant, offering), seen(use, shop.owner, offering)
    assert for_tenant.hindrance is Hindrance.PLAN_FAILS
    assert for_tenant.plan is PlanState.UNKNOWN
    assert for_owner.plan is PlanState.FAILS
    assert [one.problems[0].cure for one in for_owner.checks] == ["offer another"]
    found = use.read(
        lambda uow: offerings.search_offerings(
            uow, tenant.caller, OfferingFilter(), PageRequest(), use.now_ms
        )
    )
    assert [row.hindrance for row in found.items] == [Hindrance.PLAN_FAILS]
    with pytest.raises(NotRentable, match="cannot make this machine") as refused:
        use.order(tenant, offering)
    assert refused.value.details["because"] == "plan_fails"


def test_it_is_rented_again_once_an_agent_says_that_it_fits(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = published(use, shop)
    say(use, shop.agent, offering, SOLD_OUT)
    say(use, shop.agent, offering)
    assert seen(use, tenant, offering).hindrance is None
    assert seen(use, shop.owner, offering).plan is PlanState.FITS
    assert use.order(tenant, offering).offering == offering.id


def test_one_agent_that_can_make_it_is_enough_while_it_is_online(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    other = use.agent(shop.owner, shop.pool.id)
    offering = published(use, shop)
    say(use, shop.agent, offering, SOLD_OUT)
    say(use, other, offering)
    assert seen(use, tenant, offering).hindrance is None
    use.wait(4 * MINUTE_MS)
    use.beat(shop.agent)
    use.wait(2 * MINUTE_MS)
    assert seen(use, tenant, offering).hindrance is Hindrance.PLAN_FAILS


def test_a_word_about_how_it_was_before_counts_no_more(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = published(use, shop)
    say(use, shop.agent, offering, SOLD_OUT)
    use.write(
        lambda uow: offerings.change_offering(
            uow,
            shop.owner.caller,
            offering.id,
            a_draft(shop, settings={"region": "fsn1"}),
            use.now_ms,
        )
    )
    assert seen(use, tenant, offering).hindrance is None
    assert say(use, shop.agent, offering, SOLD_OUT) == 0
    assert say(use, shop.agent, stored(use, offering), SOLD_OUT) == 1
    assert seen(use, tenant, offering).hindrance is Hindrance.PLAN_FAILS


def test_nobody_speaks_about_another_pools_offerings(use: Usecases) -> None:
    shop, other = use.shop(), use.shop()
    sibling = use.agent(shop.owner, use.pool(shop.owner, "attic").id)
    offering = published(use, shop)
    for agent in (other.agent, sibling):
        assert say(use, agent, offering, SOLD_OUT) == 0
        assert offered(use, agent) == ()
    mute = use.agent(shop.owner, shop.pool.id, (Permission.FETCH_CONTRACTS.value,))
    with pytest.raises(AgentNotAllowed):
        say(use, mute, offering, SOLD_OUT)


def test_a_pools_agents_are_told_what_is_new_or_changed_on_offer(use: Usecases) -> None:
    shop = use.shop()
    use.draft(shop)
    offering = published(use, shop)
    hints = use.read(lambda uow: uow.outbox.read_stream(f"pool/{shop.pool.id}", 0, 100))
    assert [event.kind for event in hints].count(plan_checks.HINT) == 1
    assert offered(use, shop.agent) == (offering,)


def test_a_word_is_awaited_of_an_agent_that_tells_its_inventory(use: Usecases) -> None:
    shop = use.shop()
    offering = published(use, shop)
    assert seen(use, shop.owner, offering).plan is PlanState.UNKNOWN
    beat = Heartbeat(
        version="1",
        driver="fake",
        scope="s",
        instances=0,
        inventory=Inventory(running=0, driver_version="1"),
    )
    use.write(lambda uow: agents.heartbeat(uow, shop.agent.caller, shop.owner.id, beat, use.now_ms))
    assert seen(use, shop.owner, offering).plan is PlanState.AWAITED
    say(use, shop.agent, offering)
    assert seen(use, shop.owner, offering).plan is PlanState.FITS

"""Offerings: stock and search, on every database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from decent_cloud.domain.catalog.offerings import OfferingFilter
from decent_cloud.domain.catalog.plan_checks import PlanCheck, PlanProblem
from decent_cloud.kernel.ids import Kid, OfferingId, PoolId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.paging import PageRequest
from decent_cloud.kernel.status import OfferingKind, OfferingState, Visibility
from tests.contracts.conftest import Held
from tests.contracts.samples import PROVIDER, STRANGER, TENANT, each, offering

O1 = OfferingId("o1")


def found(held: Held, asked: OfferingFilter, viewer: object = None) -> list[str]:
    page = held.read(lambda uow: uow.offerings.search(asked, viewer, PageRequest()))  # type: ignore[arg-type]
    return [str(row.id) for row in page.items]


def test_stock_is_taken_once_a_unit(held: Held) -> None:
    held.write(lambda uow: uow.offerings.add(offering(stock=2)))

    async def rush() -> list[bool]:
        one = [held.database.write(lambda uow: uow.offerings.reserve(O1)) for _ in range(6)]
        return await asyncio.gather(*one)

    assert sorted(held.run(rush())) == [False] * 4 + [True] * 2
    held.write(lambda uow: uow.offerings.unreserve(O1))
    stored = held.read(lambda uow: uow.offerings.get(O1))
    assert stored is not None
    assert (stored.reserved, stored.available, stored.version) == (1, 1, 1)


def test_a_save_leaves_what_is_reserved(held: Held) -> None:
    held.write(lambda uow: uow.offerings.add(offering()))
    held.write(lambda uow: uow.offerings.reserve(O1))
    held.write(lambda uow: uow.offerings.save(offering(title="Renamed", stock=5)))
    stored = held.read(lambda uow: uow.offerings.get(O1))
    assert stored == offering(title="Renamed", stock=5, reserved=1, version=2)


def test_nothing_is_given_back_that_was_not_taken(held: Held) -> None:
    held.write(lambda uow: uow.offerings.add(offering()))
    held.write(lambda uow: uow.offerings.unreserve(O1))
    stored = held.read(lambda uow: uow.offerings.get(O1))
    assert stored is not None
    assert stored.reserved == 0


def test_search_shows_what_the_viewer_may_see_cheapest_first(held: Held) -> None:
    rows = [
        offering("o1", price_minor_per_hour=9),
        offering("o2", price_minor_per_hour=3),
        offering("o3", visibility=Visibility.SHARED, allowed_accounts=(TENANT,)),
        offering("o4", visibility=Visibility.PRIVATE),
        offering("o5", state=OfferingState.WITHDRAWN),
        offering("o6", asset=Asset.EUR, price_minor_per_hour=90),
    ]
    held.write(lambda uow: each(uow.offerings.add, rows))
    assert found(held, OfferingFilter()) == ["o6", "o2", "o1"]
    assert found(held, OfferingFilter(), TENANT) == ["o6", "o2", "o3", "o1"]
    assert found(held, OfferingFilter(), STRANGER) == ["o6", "o2", "o1"]
    assert found(held, OfferingFilter(), PROVIDER) == ["o6", "o2", "o3", "o4", "o1"]


@pytest.mark.parametrize(
    "asked",
    [
        OfferingFilter(text="large BERLIN"),
        OfferingFilter(text="größe"),
        OfferingFilter(text="100%_"),
        OfferingFilter(kind="gpu"),
        OfferingFilter(country="FR"),
        OfferingFilter(asset="EUR"),
        OfferingFilter(provider=STRANGER),
        OfferingFilter(max_price_minor_per_hour=4),
        OfferingFilter(min_memory_mib=4_096),
        OfferingFilter(min_cpu_milli=8_000),
        OfferingFilter(settings={"gpu": 'A"100', "odd'key": "%"}),
    ],
)
def test_each_filter_leaves_what_fits(held: Held, asked: OfferingFilter) -> None:
    fits = offering(
        "fits",
        title="Large machine, Größe 100%_!",
        description="in berlin",
        kind=OfferingKind.GPU,
        country="FR",
        asset=Asset.EUR,
        provider=STRANGER,
        price_minor_per_hour=4,
        memory_mib=4_096,
        cpu_milli=8_000,
        settings={"gpu": 'A"100', "odd'key": "%", "more": "x"},
    )
    held.write(lambda uow: each(uow.offerings.add, (offering("other"), fits)))
    assert found(held, asked) == ["fits"]


def test_pages_join_without_gap_or_double(held: Held) -> None:
    rows = [offering(f"o{n}", price_minor_per_hour=n % 3 + 1) for n in range(7)]
    held.write(lambda uow: each(uow.offerings.add, rows))
    cheapest, newest, cursor = [], [], ""
    for _ in range(4):
        asked = PageRequest(cursor, 2)
        page = held.read(lambda uow, at=asked: uow.offerings.search(OfferingFilter(), None, at))  # type: ignore[misc]
        cheapest += [(row.price_minor_per_hour, row.id) for row in page.items]
        cursor = page.next
    assert cursor == ""
    assert cheapest == sorted((row.price_minor_per_hour, row.id) for row in rows)
    for _ in range(3):
        asked = PageRequest(cursor, 3)
        page = held.read(lambda uow, at=asked: uow.offerings.of_provider(PROVIDER, at))  # type: ignore[misc]
        newest += [row.id for row in page.items]
        cursor = page.next
    assert newest == [f"o{n}" for n in reversed(range(7))]


def test_what_a_search_finds_follows_a_change(held: Held) -> None:
    held.write(lambda uow: uow.offerings.add(offering()))
    held.write(lambda uow: uow.offerings.save(replace(offering(), title="Renamed")))
    assert found(held, OfferingFilter(text="renamed")) == ["o1"]
    assert found(held, OfferingFilter(text="small")) == []


def test_a_pools_published_offerings_are_listed_newest_first(held: Held) -> None:
    rows = [
        offering("o1"),
        offering("o2", state=OfferingState.DRAFT),
        offering("o3"),
        offering("o4", pool=PoolId("w9")),
    ]
    held.write(lambda uow: each(uow.offerings.add, rows))
    pool = rows[0].pool
    first = held.read(lambda uow: uow.offerings.published_in(pool, PageRequest(limit=1)))
    assert [row.id for row in first.items] == ["o3"]
    rest = held.read(lambda uow: uow.offerings.published_in(pool, PageRequest(first.next)))
    assert [row.id for row in rest.items] == ["o1"]


def test_an_agents_newest_word_about_an_offering_takes_the_place_of_the_older(held: Held) -> None:
    problem = PlanProblem("plan", "sold out", "another")
    checks = [
        PlanCheck(O1, Kid("a"), 1, 1, (problem,)),
        PlanCheck(O1, Kid("b"), 1, 2),
        PlanCheck(OfferingId("o2"), Kid("a"), 1, 3),
        PlanCheck(O1, Kid("a"), 2, 4),
    ]
    held.write(lambda uow: each(uow.offerings.put_plan_check, checks))
    one, two, three = checks[3], checks[1], checks[2]
    asked = (O1, OfferingId("o2"), OfferingId("o3"))
    assert held.read(lambda uow: uow.offerings.plan_checks(asked)) == (one, two, three)
    assert held.read(lambda uow: uow.offerings.plan_checks(())) == ()

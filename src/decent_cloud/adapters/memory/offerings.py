"""Offerings in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decent_cloud.adapters.memory.tables import Journal, Table, newest_first, paged
from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.domain.catalog.plan_checks import PlanCheck
from decent_cloud.kernel.ids import AccountId, OfferingId, PoolId
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import OfferingState, Visibility


class MemoryOfferings:
    """Keeps the port `Offerings`."""

    def __init__(self, journal: Journal) -> None:
        self._offerings: Table[Offering] = Table(journal)
        self._checks: Table[PlanCheck] = Table(journal)

    def get(self, offering: OfferingId) -> Offering | None:
        return self._offerings.get(offering)

    def add(self, offering: Offering) -> None:
        self._offerings.add(offering, offering.id)

    def save(self, offering: Offering) -> None:
        stored = self._offerings.get(offering.id)
        kept = stored.reserved if stored else offering.reserved
        self._offerings.save(replace(offering, reserved=kept), offering.id)

    def reserve(self, offering: OfferingId) -> bool:
        found = self._offerings.get(offering)
        if found is None or found.stock - found.reserved < 1:
            return False
        self._offerings.put(replace(found, reserved=found.reserved + 1), offering)
        return True

    def unreserve(self, offering: OfferingId) -> None:
        found = self._offerings.get(offering)
        if found is not None and found.reserved >= 1:
            self._offerings.put(replace(found, reserved=found.reserved - 1), offering)

    def of_provider(self, provider: AccountId, page: PageRequest) -> Page[Offering]:
        return newest_first((row for row in self._offerings if row.provider == provider), page)

    def search(
        self, asked: OfferingFilter, viewer: AccountId | None, page: PageRequest
    ) -> Page[Offering]:
        found = [row for row in self._offerings if _visible(row, viewer) and _fits(row, asked)]
        found.sort(key=_cheapest)
        last = self._offerings.get(page.cursor) if page.cursor else None
        if last is not None:
            found = [row for row in found if _cheapest(row) > _cheapest(last)]
        return paged(found, page.limit)

    def published_in(self, pool: PoolId, page: PageRequest) -> Page[Offering]:
        published = OfferingState.PUBLISHED
        rows = self._offerings
        return newest_first(
            (row for row in rows if row.pool == pool and row.state is published), page
        )

    def plan_checks(self, offerings: Sequence[OfferingId]) -> tuple[PlanCheck, ...]:
        found = (row for row in self._checks if row.offering in offerings)
        return tuple(sorted(found, key=lambda row: (row.offering, row.agent)))

    def put_plan_check(self, check: PlanCheck) -> None:
        self._checks.put(check, check.offering, check.agent)


def _cheapest(row: Offering) -> tuple[str, int, str]:
    return row.asset.value, row.price_minor_per_hour, row.id


def _visible(row: Offering, viewer: AccountId | None) -> bool:
    if row.state is not OfferingState.PUBLISHED:
        return False
    if row.visibility is Visibility.PUBLIC or row.provider == viewer:
        return True
    return row.visibility is Visibility.SHARED and viewer in row.allowed_accounts


def _fits(row: Offering, asked: OfferingFilter) -> bool:
    text = f"{row.title}\n{row.description}\n{row.image}".casefold()
    return (
        all(word in text for word in asked.text.casefold().split())
        and asked.kind in {"", row.kind.value}
        and asked.country in {"", row.country}
        and asked.asset in {"", row.asset.value}
        and asked.provider in {"", row.provider}
        and (asked.max_price_minor_per_hour or row.price_minor_per_hour) >= row.price_minor_per_hour
        and row.memory_mib >= asked.min_memory_mib
        and row.cpu_milli >= asked.min_cpu_milli
        and all(row.settings.get(key) == value for key, value in asked.settings.items())
    )

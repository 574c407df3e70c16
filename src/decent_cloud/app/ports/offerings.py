"""Where offerings are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.domain.catalog.plan_checks import PlanCheck
from decent_cloud.kernel.ids import AccountId, OfferingId, PoolId
from decent_cloud.kernel.paging import Page, PageRequest


class Offerings(Protocol):
    """Offerings by id."""

    def get(self, offering: OfferingId) -> Offering | None:
        """Return the offering."""
        ...

    def add(self, offering: Offering) -> None:
        """Store a new offering."""
        ...

    def save(self, offering: Offering) -> None:
        """Replace all but `reserved` if the version is unchanged."""
        ...

    def reserve(self, offering: OfferingId) -> bool:
        """Take one unit if stock - reserved >= 1, atomically; False if sold out.

        Does not touch the version.
        """
        ...

    def unreserve(self, offering: OfferingId) -> None:
        """Give one unit back."""
        ...

    def of_provider(self, provider: AccountId, page: PageRequest) -> Page[Offering]:
        """List a provider's offerings in every state, newest first."""
        ...

    def search(
        self, asked: OfferingFilter, viewer: AccountId | None, page: PageRequest
    ) -> Page[Offering]:
        """List published offerings that the viewer may see, cheapest first within an asset, then by
        id.
        """
        ...

    def published_in(self, pool: PoolId, page: PageRequest) -> Page[Offering]:
        """List a pool's published offerings, newest first."""
        ...

    def plan_checks(self, offerings: Sequence[OfferingId]) -> tuple[PlanCheck, ...]:
        """Return every agent's newest word about these offerings, by offering and agent."""
        ...

    def put_plan_check(self, check: PlanCheck) -> None:
        """Insert or replace."""
        ...

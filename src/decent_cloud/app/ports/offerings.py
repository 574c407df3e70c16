"""Where offerings are kept."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.kernel.ids import AccountId, OfferingId
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

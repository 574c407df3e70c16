"""Who may see an offering."""

from __future__ import annotations

from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.status import OfferingState, Visibility


def visible(offering: Offering, viewer: AccountId | None) -> bool:
    """Tell whether `viewer` (None: nobody in particular) may see the offering.

    Its provider sees it in every state; others only while it is published: everybody a public one,
    the allowed accounts a shared one, nobody a private one.
    """
    if viewer == offering.provider:
        return True
    if offering.state is not OfferingState.PUBLISHED:
        return False
    if offering.visibility is Visibility.PUBLIC:
        return True
    return offering.visibility is Visibility.SHARED and viewer in offering.allowed_accounts

"""Where personal fields are kept: one table, encrypted under a data key per account."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.identity.accounts import Profile
from decent_cloud.kernel.ids import AccountId


class Personal(Protocol):
    """Personal fields by account; forgetting the data key erases them."""

    def get(self, account: AccountId) -> Profile:
        """Return the profile, empty if none was set."""
        ...

    def put(self, account: AccountId, profile: Profile) -> None:
        """Replace the profile."""
        ...

    def erase(self, account: AccountId) -> None:
        """Destroy the account's data key and fields."""
        ...

"""Where accounts, chains, devices and seed boxes are kept."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.identity.accounts import Account, Device, Link, OldSeed, SeedBox
from decent_cloud.kernel.ids import AccountId, Kid


class Accounts(Protocol):
    """Accounts by id; links are unique by (account, seq)."""

    def get(self, account: AccountId) -> Account | None:
        """Return the account."""
        ...

    def add(self, account: Account) -> None:
        """Store a new account."""
        ...

    def save(self, account: Account) -> None:
        """Replace the account if its version is unchanged."""
        ...

    def links(self, account: AccountId) -> tuple[Link, ...]:
        """Return the whole chain in order."""
        ...

    def add_link(self, link: Link) -> None:
        """Store the next link; AlreadyExists if the seq is taken."""
        ...

    def devices(self, account: AccountId) -> tuple[Device, ...]:
        """Return all devices, revoked ones included, in chain order."""
        ...

    def device(self, account: AccountId, kid: Kid) -> Device | None:
        """Return one device."""
        ...

    def put_devices(self, devices: tuple[Device, ...]) -> None:
        """Insert or replace devices by (account, kid)."""
        ...

    def boxes(self, account: AccountId, kid: Kid) -> tuple[SeedBox, ...]:
        """Return the device's seed boxes, newest generation last."""
        ...

    def put_boxes(self, boxes: tuple[SeedBox, ...]) -> None:
        """Insert or replace boxes by (account, kid, gen)."""
        ...

    def old_seeds(self, account: AccountId) -> tuple[OldSeed, ...]:
        """Return the sealed earlier seeds, oldest generation first."""
        ...

    def add_old_seed(self, seed: OldSeed) -> None:
        """Store the seed of the generation before."""
        ...

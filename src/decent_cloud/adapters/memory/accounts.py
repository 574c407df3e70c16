"""Accounts, chains, devices and seed boxes in dictionaries."""

from __future__ import annotations

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.domain.identity.accounts import (
    Account,
    Device,
    Link,
    OldSeed,
    Profile,
    SeedBox,
)
from decent_cloud.kernel.ids import AccountId, Kid


class MemoryAccounts:
    """Keeps the port `Accounts`."""

    def __init__(self, journal: Journal) -> None:
        self._accounts: Table[Account] = Table(journal)
        self._links: Table[Link] = Table(journal)
        self._devices: Table[Device] = Table(journal)
        self._boxes: Table[SeedBox] = Table(journal)
        self._old_seeds: Table[OldSeed] = Table(journal)

    def get(self, account: AccountId) -> Account | None:
        return self._accounts.get(account)

    def add(self, account: Account) -> None:
        self._accounts.add(account, account.id)

    def save(self, account: Account) -> None:
        self._accounts.save(account, account.id)

    def links(self, account: AccountId) -> tuple[Link, ...]:
        found = (link for link in self._links if link.account == account)
        return tuple(sorted(found, key=lambda link: link.seq))

    def add_link(self, link: Link) -> None:
        self._links.add(link, link.account, link.seq)

    def devices(self, account: AccountId) -> tuple[Device, ...]:
        found = (device for device in self._devices if device.account == account)
        return tuple(sorted(found, key=lambda device: (device.since_seq, device.kid)))

    def device(self, account: AccountId, kid: Kid) -> Device | None:
        return self._devices.get(account, kid)

    def put_devices(self, devices: tuple[Device, ...]) -> None:
        for device in devices:
            self._devices.put(device, device.account, device.kid)

    def boxes(self, account: AccountId, kid: Kid) -> tuple[SeedBox, ...]:
        found = (box for box in self._boxes if (box.account, box.kid) == (account, kid))
        return tuple(sorted(found, key=lambda box: box.gen))

    def put_boxes(self, boxes: tuple[SeedBox, ...]) -> None:
        for box in boxes:
            self._boxes.put(box, box.account, box.kid, box.gen)

    def old_seeds(self, account: AccountId) -> tuple[OldSeed, ...]:
        found = (seed for seed in self._old_seeds if seed.account == account)
        return tuple(sorted(found, key=lambda seed: seed.gen))

    def add_old_seed(self, seed: OldSeed) -> None:
        self._old_seeds.add(seed, seed.account, seed.gen)


class MemoryPersonal:
    """Keeps the port `Personal`, in clear: memory is gone with the process."""

    def __init__(self, journal: Journal) -> None:
        self._profiles: Table[Profile] = Table(journal)

    def get(self, account: AccountId) -> Profile:
        return self._profiles.get(account) or Profile()

    def put(self, account: AccountId, profile: Profile) -> None:
        self._profiles.put(profile, account)

    def erase(self, account: AccountId) -> None:
        self._profiles.remove(account)

"""Accounts, chains, devices and seed boxes in SQL."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
from decent_cloud.domain.identity.accounts import Account, Device, Link, OldSeed, SeedBox
from decent_cloud.kernel.ids import AccountId, Kid

_ACCOUNTS = Rows(Account, "accounts", ("id",))
_LINKS = Rows(Link, "links", ("account", "seq"))
_DEVICES = Rows(Device, "devices", ("account", "kid"))
_BOXES = Rows(SeedBox, "seed_boxes", ("account", "kid", "gen"))
_OLD_SEEDS = Rows(OldSeed, "old_seeds", ("account", "gen"))


class SqlAccounts:
    """Keeps the port `Accounts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, account: AccountId) -> Account | None:
        return _ACCOUNTS.get(self._session, id=account)

    def add(self, account: Account) -> None:
        _ACCOUNTS.add(self._session, account)

    def save(self, account: Account) -> None:
        _ACCOUNTS.save(self._session, account)

    def links(self, account: AccountId) -> tuple[Link, ...]:
        return _LINKS.all(self._session, "WHERE account = :a ORDER BY seq", {"a": account})

    def add_link(self, link: Link) -> None:
        _LINKS.add(self._session, link)

    def devices(self, account: AccountId) -> tuple[Device, ...]:
        tail = "WHERE account = :a ORDER BY since_seq, kid"
        return _DEVICES.all(self._session, tail, {"a": account})

    def device(self, account: AccountId, kid: Kid) -> Device | None:
        return _DEVICES.get(self._session, account=account, kid=kid)

    def put_devices(self, devices: tuple[Device, ...]) -> None:
        for device in devices:
            _DEVICES.put(self._session, device)

    def boxes(self, account: AccountId, kid: Kid) -> tuple[SeedBox, ...]:
        tail = "WHERE account = :a AND kid = :k ORDER BY gen"
        return _BOXES.all(self._session, tail, {"a": account, "k": kid})

    def put_boxes(self, boxes: tuple[SeedBox, ...]) -> None:
        for box in boxes:
            _BOXES.put(self._session, box)

    def old_seeds(self, account: AccountId) -> tuple[OldSeed, ...]:
        return _OLD_SEEDS.all(self._session, "WHERE account = :a ORDER BY gen", {"a": account})

    def add_old_seed(self, seed: OldSeed) -> None:
        _OLD_SEEDS.add(self._session, seed)

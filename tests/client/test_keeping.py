"""What a device keeps: its key, its profile, what it has seen; private, whole, never silently lost."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

import pytest

from decent_cloud.client.accounts import new_account
from decent_cloud.client.keystore import FileKeyStore, KeyringKeyStore, KeyStore, NoDeviceKey
from decent_cloud.client.pins import Pins, PinsDamaged
from decent_cloud.client.private_files import FileExposed, read_private, write_private
from decent_cloud.client.profile import ConfigFile, Profile
from decent_cloud.domain.keys.chain import begin, extend
from decent_cloud.domain.keys.credentials import Accepted
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.errors import Forked, RolledBack
from decent_cloud.domain.keys.links import build_add, build_genesis
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.domain.keys.statements import StatementType, cosign
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId, Digest

ACCOUNT = AccountId("ab" * 32)


class _Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.held.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.held[service_name, username] = password


def _keys() -> DeviceKeys:
    return DeviceKeys(secrets.token_bytes(32))


@pytest.fixture(params=["file", "keyring"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    return FileKeyStore(tmp_path) if request.param == "file" else KeyringKeyStore(_Ring())


def test_a_key_comes_back_as_it_was_kept(store: KeyStore) -> None:
    seed = secrets.token_bytes(32)
    store.save(ACCOUNT, seed)
    assert store.load(ACCOUNT).kid == DeviceKeys(seed).kid
    assert DeviceKeys(seed).kid in repr(store.load(ACCOUNT))


def test_a_key_that_is_not_there_is_refused(store: KeyStore) -> None:
    with pytest.raises(NoDeviceKey):
        store.load(ACCOUNT)


def test_a_key_of_another_account_is_refused(tmp_path: Path) -> None:
    ring = _Ring()
    store = KeyringKeyStore(ring)
    store.save(ACCOUNT, secrets.token_bytes(32))
    other = AccountId("cd" * 32)
    ring.held["decent-cloud", other] = ring.held["decent-cloud", ACCOUNT]
    with pytest.raises(NoDeviceKey):
        store.load(other)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o610])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    write_private(file, b"secret")
    assert read_private(file) == b"secret"
    os.chmod(file, mode)
    with pytest.raises(FileExposed, match="chmod 600"):
        read_private(file)


def test_writing_leaves_the_old_file_or_the_new_one_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "key"
    write_private(file, b"old")
    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_profiles_keep_each_other(tmp_path: Path) -> None:
    config = ConfigFile(tmp_path / "config.toml")
    assert config.profile("default") == Profile("default")
    config.save(Profile("default", "http://a", "11" * 32))
    config.save(Profile("work", "http://b", "22" * 32, "keyring"))
    assert config.profile("default").platform == "http://a"
    assert config.profile("work").key_store == "keyring"
    config.path.write_text('[profiles.default]\nkey_store = "paper"\n')
    with pytest.raises(Invalid, match="key_store"):
        config.profile("default")


def test_a_newer_chain_moves_the_pin_and_an_older_or_other_one_is_refused(tmp_path: Path) -> None:
    keys, agent = _keys(), _keys()
    seed = AccountSeed(1, secrets.token_bytes(32))
    members = [(keys.public(DeviceType.CLI, Rank.ORDINARY), keys)]
    first = begin(build_genesis(members, seed.public, secrets.token_bytes(16)))
    links = [
        cosign(
            StatementType.LINK,
            build_add(first.next_place, one.public(DeviceType.AGENT, 2), [one]),
            keys,
        )
        for one in (agent, _keys())
    ]
    second, fork = (extend(first, link) for link in links)
    pins = Pins(tmp_path / "pins.json")
    assert pins.pin(first.account_id) is None
    pins.keep(first)
    pins.keep(second)
    pins.keep(second)
    assert pins.pin(first.account_id) == second.pin
    with pytest.raises(RolledBack):
        pins.keep(first)
    with pytest.raises(Forked):
        pins.keep(fork)
    assert pins.pin(first.account_id) == second.pin


def test_the_newest_accepted_credential_counts(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json")
    contract = Digest("cd" * 32)
    assert pins.accepted(contract) is None
    newer, older = Accepted(2, Digest("02" * 32)), Accepted(1, Digest("01" * 32))
    pins.accept(contract, newer)
    pins.accept(contract, older)
    assert pins.accepted(contract) == newer


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    contracts = [Digest(f"{n:064x}") for n in range(40)]

    def accept(some: list[Digest]) -> None:
        for contract in some:
            Pins(tmp_path / "pins.json").accept(contract, Accepted(1, contract))

    threads = [threading.Thread(target=accept, args=(contracts[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(Pins(tmp_path / "pins.json").accepted(one) for one in contracts)


def test_damaged_pins_stop_everything(tmp_path: Path) -> None:
    (tmp_path / "pins.json").write_text('{"accounts": 5}')
    with pytest.raises(PinsDamaged):
        Pins(tmp_path / "pins.json").pin(ACCOUNT)


def test_a_new_account_shows_no_secret_of_itself() -> None:
    new = new_account()
    assert new.words not in repr(new)
    assert new.device_seed.hex() not in repr(new)
    assert repr(new.device_seed) not in repr(new)
    assert {box.kid for box in new.request.boxes} == set(new.chain.members)

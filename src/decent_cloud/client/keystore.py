"""Where a device's secret is kept: a file that only its owner may read, or the system's keyring."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from decent_cloud.client.private_files import read_private, write_private
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.devices import SEED_BYTES, DeviceKeys
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId

SERVICE = "decent-cloud"


class NoDeviceKey(KeyRefused):
    """There is no usable device key for this account here."""

    code = "no_device_key"


class KeyStore(Protocol):
    """Keeps one device seed per account."""

    def load(self, account: AccountId) -> DeviceKeys:
        """Return this device's keys. Errors: NoDeviceKey, FileExposed."""
        ...

    def save(self, account: AccountId, seed: bytes) -> None:
        """Keep a new device's seed."""
        ...


class FileKeyStore:
    """Keeps the seed in a 0600 file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, account: AccountId) -> Path:
        """Return the key file of an account."""
        return self._folder / f"{account[:16]}.key"

    def load(self, account: AccountId) -> DeviceKeys:
        """Return this device's keys.

        Errors: NoDeviceKey, FileExposed.
        """
        path = self.path(account)
        try:
            raw = read_private(path)
        except FileNotFoundError:
            raise NoDeviceKey(f"the device key {path} is missing", field="key_file") from None
        return _keys(raw.decode(errors="replace"), account, str(path))

    def save(self, account: AccountId, seed: bytes) -> None:
        """Keep a new device's seed."""
        write_private(self.path(account), _text(account, seed).encode())


class Keyring(Protocol):
    """The two calls of the `keyring` library that are used here."""

    def get_password(self, service_name: str, username: str) -> str | None: ...
    def set_password(self, service_name: str, username: str, password: str) -> None: ...


class KeyringKeyStore:
    """Keeps the seed in the system's keyring, under the account's id; `failures` are its own errors."""

    def __init__(self, keyring: Keyring, failures: tuple[type[Exception], ...] = ()) -> None:
        self._keyring = keyring
        self._failures = failures

    def load(self, account: AccountId) -> DeviceKeys:
        """Return this device's keys.

        Errors: NoDeviceKey.
        """
        try:
            text = self._keyring.get_password(SERVICE, account)
        except self._failures as error:
            raise NoDeviceKey(f"the system's keyring: {error}", field="keyring") from None
        if text is None:
            raise NoDeviceKey("the system's keyring holds no key of this account", field="keyring")
        return _keys(text, account, "the key in the system's keyring")

    def save(self, account: AccountId, seed: bytes) -> None:
        """Keep a new device's seed.

        Errors: NoDeviceKey.
        """
        try:
            self._keyring.set_password(SERVICE, account, _text(account, seed))
        except self._failures as error:
            raise NoDeviceKey(
                f"the system's keyring: {error}; use --key-store file instead", field="keyring"
            ) from None


def _text(account: AccountId, seed: bytes) -> str:
    kid = DeviceKeys(seed).kid
    shape = {"account": account, "kid": kid, "seed": b64u.encode(seed)}
    return codec.to_json(shape).decode() + "\n"


def _keys(text: str, account: AccountId, place: str) -> DeviceKeys:
    """Read what `_text` wrote; the kid shows damage before the platform does."""
    damaged = NoDeviceKey(f"{place} is damaged or of another account", field="key_file")
    try:
        shape = codec.from_json(text, dict[str, str])
        keys = DeviceKeys(b64u.decode(shape["seed"], SEED_BYTES))
    except (Invalid, KeyError, KeyRefused):
        raise damaged from None
    if shape.get("account") != account or shape.get("kid") != keys.kid:
        raise damaged
    return keys

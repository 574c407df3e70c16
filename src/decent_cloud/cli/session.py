"""What a command works with: the profile's files, the signed client, and what was seen before."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import click

from decent_cloud.cli import lazy
from decent_cloud.cli.output import Output
from decent_cloud.cli.settings import Globals, config_file, profile_folder
from decent_cloud.client.api import Client
from decent_cloud.client.keystore import FileKeyStore, KeyringKeyStore, KeyStore, NoDeviceKey
from decent_cloud.client.pins import Pins
from decent_cloud.client.profile import ConfigFile, Profile
from decent_cloud.client.rentals import OrderJournal, Signer
from decent_cloud.client.trust import Trust
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId

P = ParamSpec("P")
R = TypeVar("R")


class Session:
    """One command's run."""

    def __init__(self, settings: Globals) -> None:
        self.out = Output(settings)
        self.config = ConfigFile(config_file(settings.config))
        self.profile: Profile = self.config.profile(settings.profile)
        self.folder: Path = profile_folder(settings.profile, self.config.path)
        self._platform = settings.platform
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        for client in self._clients:
            client.transport.close()

    @property
    def platform(self) -> str:
        """The platform's address. Errors: Invalid if none is known."""
        found = self._platform or self.profile.platform
        if not found:
            raise Invalid(
                f"profile {self.profile.name} names no platform: add --platform URL, or set "
                f"DECENT_PLATFORM",
                field="platform",
            )
        return found

    @property
    def account(self) -> AccountId:
        """The profile's account. Errors: NoDeviceKey if there is none yet."""
        if not self.profile.account:
            raise NoDeviceKey(
                f"profile {self.profile.name} has no account yet: decent account create",
                field="profile",
            )
        return AccountId(self.profile.account)

    @cached_property
    def keys(self) -> DeviceKeys:
        """This device's keys. Errors: NoDeviceKey, FileExposed."""
        return self.key_store(self.profile.key_store).load(self.account)

    @cached_property
    def client(self) -> Client:
        """Calls signed by this device."""
        return self._opened(Client.connect(self.platform, (self.account, self.keys)))

    @cached_property
    def visitor(self) -> Client:
        """Calls signed by this device if it has an account, else by nobody."""
        return self.client if self.profile.account else self.unsigned

    @cached_property
    def unsigned(self) -> Client:
        """Calls signed by nobody."""
        return self._opened(Client.connect(self.platform))

    @cached_property
    def pins(self) -> Pins:
        """What this device has seen."""
        return Pins(self.folder / "pins.json")

    @cached_property
    def trust(self) -> Trust:
        """Verified chains."""
        return Trust(self.client.accounts, self.pins)

    @cached_property
    def signer(self) -> Signer:
        """This device with its account's chain as it is now. Errors: any `KeyRefused`."""
        return Signer(self.trust.chain(self.account), self.keys)

    @cached_property
    def orders(self) -> OrderJournal:
        """Orders whose answer has not come."""
        return OrderJournal(self.folder / "orders")

    def key_store(self, kind: str) -> KeyStore:
        """Return where device keys are kept. Errors: Invalid if the keyring cannot be used."""
        if kind == "file":
            return FileKeyStore(self.folder)
        try:
            failure: type[Exception] = lazy.load("keyring.errors:KeyringError")
            return KeyringKeyStore(lazy.load("keyring"), (failure, RuntimeError))
        except ImportError:
            raise Invalid(
                "the keyring library is missing: pip install 'decent-cloud[keyring]'",
                field="key_store",
            ) from None

    def now_ms(self) -> int:
        """Return the time."""
        return SystemClock().now_ms()

    def _opened(self, client: Client) -> Client:
        self._clients.append(client)
        return client


def pass_session(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Hand a command its session; connections are closed when it ends."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> R:
        settings = click.get_current_context().find_object(Globals) or Globals()
        with Session(settings) as session:
            return command(session, *args, **options)

    return run

"""People at a command line, on a real platform whose vantage point finds everything."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from decent_cloud.client.keystore import FileKeyStore
from decent_cloud.client.statements import verified_chain
from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.domain.keys.links import build_add
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import AccountId
from decent_cloud.programs.cli import cli
from decent_cloud.programs.server import Ports
from decent_cloud.wire.v1.accounts import ChainView
from tests.support.market import OpenDoor, lease, provisioned, until
from tests.support.people import Person, Shop, new_keys
from tests.support.platform import Platform, running_platform

SSH_PUBLIC = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me@here"
)


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody's command line: a home folder and a platform."""

    home: Path
    url: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DECENT_HOME": str(self.home), "DECENT_PLATFORM": self.url, "NO_COLOR": "1"}

    def try_(self, *args: str, stdin: str | None = None) -> Result:
        """Run a command whatever its exit code; nothing but a SystemExit comes out."""
        runner = CliRunner(env={**self.environment, "DECENT_CONFIG": None, "DECENT_PROFILE": None})
        result = runner.invoke(cli, list(args), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def show(self, *args: str) -> str:
        """Run a command that succeeds, as a person does."""
        result = self.try_(*args)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def run(self, *args: str) -> Any:
        """Run a command that succeeds, as a program does."""
        result = self.try_("--json", *args)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def refused(self, exit_code: int, *args: str) -> Any:
        """Run a command that must fail with this exit code; returns its error."""
        result = self.try_("--json", *args)
        assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
        return json.loads(result.stderr.splitlines()[-1])["error"]

    @property
    def profile(self) -> Path:
        return self.home / "profiles" / "default"

    def person(self) -> Person:
        """Return this desk's account with its key, to act past the command line."""
        account = AccountId(self.run("account", "show")["id"])
        keys = FileKeyStore(self.profile).load(account)
        view = codec.convert(self.run("account", "chain"), ChainView)
        seed = AccountSeed(1, secrets.token_bytes(32))
        return Person(self.url, keys, keys, seed, verified_chain(view, account))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = Path(tmp_path_factory.mktemp("platform"))
    with running_platform(folder, Ports(reach=OpenDoor())) as running:
        yield running


@pytest.fixture
def stranger(platform: Platform, tmp_path: Path) -> Desk:
    """Give a command line without an account."""
    return Desk(tmp_path / "stranger", platform.url)


@pytest.fixture(scope="module")
def tenant(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Give a command line with an account; tests of a module share it."""
    return _with_account(platform, Path(tmp_path_factory.mktemp("tenant")))


@pytest.fixture(scope="module")
def provider(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Give the command line of a provider with a pool called `barn`."""
    desk = _with_account(platform, Path(tmp_path_factory.mktemp("provider")))
    desk.run("provider", "create", "Hill Farm")
    desk.run("pool", "create", "barn", "--driver", "fake")
    return desk


@pytest.fixture(scope="module")
def shop(provider: Desk) -> Shop:
    """Give the provider's account past the command line, with an agent in `barn` whose key tests hold."""
    keys, chain = new_keys(), provider.person().chain
    link = build_add(chain.next_place, keys.public(DeviceType.AGENT, Rank.READER), [keys])
    file = provider.home / "add.json"
    file.write_bytes(codec.to_json(link.to_json()))
    joined = provider.run("agents", "approve", "--file", str(file), "--pool", "barn", "--yes")
    owner = provider.person()
    return Shop(owner, joined["pool"], keys, owner.api_of(keys))


@pytest.fixture
def ssh_key(tmp_path: Path) -> str:
    """Give the path of a public key file."""
    file = tmp_path / "id_ed25519.pub"
    file.write_text(SSH_PUBLIC + "\n")
    return str(file)


def _with_account(platform: Platform, home: Path) -> Desk:
    desk = Desk(home, platform.url)
    desk.run("account", "create", "--words-file", str(home / "words.txt"))
    return desk


@contextlib.contextmanager
def working_agent(shop: Shop, tenant: Person) -> Iterator[None]:
    """Deliver every accepted contract of a tenant, as an agent does, until the block ends."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(0.02):
                found = shop.owner.api.get("/contracts", role="provider", state="accepted").json()
                for contract in found["items"]:
                    if contract["tenant"] == tenant.id:
                        _deliver(shop, tenant, contract)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="agent")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
    if failed:
        raise failed[0]


def _deliver(shop: Shop, tenant: Person, contract: Mapping[str, Any]) -> None:
    fence = lease(shop, contract["id"])["fence"]
    body = {"fence": fence, "scope": "fake:scope"}
    started = shop.agent.post(f"/assignments/{contract['id']}/create-started", body)
    assert started.status_code == 200, started.text
    assert provisioned(shop, tenant, contract, fence).status_code == 200
    until(tenant, contract["id"], "active")

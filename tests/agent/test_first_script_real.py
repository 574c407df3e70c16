"""A first script in real machines: what it made is there, what it said only the tenant reads.

Three ways in: the engine's own, the agent's management key over SSH, and the server inside a sandbox.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.drivers.contract import (
    CanRunFirst,
    Description,
    Driver,
    Handle,
    InstanceSpec,
    Observation,
    Probe,
    Secret,
)
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.drivers.parts.guest_ssh import GuestDoor, run_command
from decent_cloud.drivers.sandbox.driver import SandboxDriver
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ScriptOutcome
from decent_cloud.programs.server import Ports
from decent_cloud.programs.server_settings import ServerSettings
from devtools.processes import free_port
from tests.agent.rig import QUICK, Rig, eventually, rig_for
from tests.drivers.docker_rig import SDK_LEAKS
from tests.drivers.sandbox_rig import sandbox_rig
from tests.support.http_proxy import HttpProxy, http_proxy
from tests.support.kept import kept_in
from tests.support.market import OpenDoor, put_on_offer, rent, until
from tests.support.people import Person, new_shop
from tests.support.platform import Platform, running_platform
from tests.support.secrets import opened, script_log

pytestmark = pytest.mark.slow

CANARY = b"canary-said-inside-5b7e"
# In two halves, so that the whole is nowhere but in what it says.
TEXT = """#!/bin/sh
echo "it's here" > made
printf 'canary-%s\\n' said-inside-5b7e
echo 'and more' >&2
exit 4
"""
PORTS = {"first_port": 24_300, "last_port": 24_399}


class OverSsh:
    """The Docker driver as one that cannot run scripts itself, with the agent's key in its machines."""

    def __init__(self, driver: DockerDriver) -> None:
        self._driver = driver

    def describe(self) -> Description:
        return self._driver.describe()

    def probe(self) -> Probe:
        return self._driver.probe()

    def scope(self) -> str:
        return self._driver.scope()

    def create(self, spec: InstanceSpec) -> Observation:
        assert spec.management_key is not None
        return self._driver.create(
            replace(spec, ssh_keys=(*spec.ssh_keys, spec.management_key), management_key=None)
        )

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        return self._driver.inspect(handle, contract)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        return self._driver.destroy(handle, contract)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        return self._driver.list_owned(contract)

    def close(self) -> None:
        self._driver.close()


@pytest.fixture
def proxy() -> Iterator[HttpProxy]:
    """Stand before the platform, which is told that this is its address: everybody speaks through it."""
    with http_proxy(("127.0.0.1", free_port())) as between:
        yield between


@pytest.fixture
def platform(proxy: HttpProxy, tmp_path: Path) -> Iterator[Platform]:
    host, port = proxy.target
    settings = ServerSettings(
        data=str(tmp_path / "platform"), listen=f"{host}:{port}", public_origins=(proxy.url,)
    )
    with running_platform(tmp_path / "platform", Ports(reach=OpenDoor()), settings) as running:
        yield replace(running, url=proxy.url)


@pytest.fixture
def sandboxes() -> Iterator[Path]:
    """Give a folder that machines of other host users may look into, and end what runs there."""
    with sandbox_rig() as rig:
        yield rig.folder


def over_docker(request: pytest.FixtureRequest, _: Path) -> Callable[[str], Driver]:
    url = request.getfixturevalue("docker_engine").url
    return lambda platform: DockerDriver.from_settings({"engine": url, **PORTS}, platform)


def over_ssh(request: pytest.FixtureRequest, _: Path) -> Callable[[str], Driver]:
    url = request.getfixturevalue("docker_engine").url
    settings = {"engine": url, **PORTS}
    return lambda platform: OverSsh(DockerDriver.from_settings(settings, platform))


def over_sandbox(request: pytest.FixtureRequest, _: Path) -> Callable[[str], Driver]:
    folder = request.getfixturevalue("sandboxes")
    settings = {"folder": str(folder), **PORTS}
    return lambda platform: SandboxDriver.from_settings(settings, platform)


DOCKER = [pytest.mark.docker, *SDK_LEAKS]


@pytest.mark.parametrize(
    ("way", "image"),
    [
        pytest.param(over_docker, "tiny", marks=DOCKER),
        pytest.param(over_ssh, "tiny", marks=DOCKER),
        pytest.param(over_sandbox, "host", marks=pytest.mark.sandbox),
    ],
)
def test_it_runs_and_nobody_but_the_tenant_reads_what_it_said(
    request: pytest.FixtureRequest,
    platform: Platform,
    proxy: HttpProxy,
    tenant: Person,
    tmp_path: Path,
    way: Callable[[pytest.FixtureRequest, Path], Callable[[str], Driver]],
    image: str,
) -> None:
    made = way(request, tmp_path)
    shop = new_shop(platform.url, driver="sandbox" if way is over_sandbox else "docker")
    rig = rig_for(shop, proxy.url, tmp_path / "agent")
    rig.changed["driver"] = "sandbox" if way is over_sandbox else "docker"
    words: list[str] = []
    with listening(words), serving(rig, made):
        offering = put_on_offer(
            shop, image=image, first_script=TEXT, management_key=way is over_ssh
        )
        path = f"/offerings/{offering['id']}"
        eventually(lambda: tenant.api.get(path).json()["rentable"], 60)
        id_ = str(rent(tenant, offering)["id"])
        view = until(tenant, id_, "active", timeout_s=90)
        log = script_log(tenant, shop, id_).log
        assert (log.outcome, log.exit_code) == (ScriptOutcome.EXITED, 4)
        assert log.output == CANARY + b"\nand more\n"
        access = opened(tenant, shop, id_).access
        door = GuestDoor("127.0.0.1", view["port"], view["host_keys"][0])
        assert run_command(door, "root", Secret(access.password or ""), "cat made") == "it's here"
        tenant.api.post(f"/contracts/{id_}/cancel", {"reason": "seen"})
        eventually(lambda: rig.stage(id_) is None or str(rig.stage(id_)) == "ended", 60)
    places = {
        "platform": kept_in(Path(platform.server.settings.data)),
        "journal": kept_in(rig.folder),
        "requests": b"".join(each.raw for each in proxy.requests),
        "answers": bytes(proxy.answered),
        "words": "".join(words).encode(),
    }
    assert [name for name, kept in places.items() if CANARY in kept] == []
    assert TEXT.encode() not in places["words"]


class listening:
    """Collects every word of the agent's log."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._before = structlog.get_config()

    def __enter__(self) -> None:
        def hear(_logger: object, _name: str, event: object) -> object:
            self._words.append(repr(event))
            raise structlog.DropEvent

        structlog.configure(
            processors=[structlog.processors.format_exc_info, hear],  # type: ignore[list-item]
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)


class serving:
    """Runs the rig's agent over a real driver while the block lasts."""

    def __init__(self, rig: Rig, made: Callable[[str], Driver]) -> None:
        journal = rig.journal()
        driver = made(journal.fact(PLATFORM_ID))
        assert isinstance(driver, CanRunFirst) is not isinstance(driver, OverSsh)
        self._rig = rig
        rig.agent = Agent(rig.settings(), Parts(rig.keys, journal, driver, limits=QUICK))

    def __enter__(self) -> None:
        assert self._rig.agent is not None
        self._rig.thread = threading.Thread(target=self._rig.agent.run, name="agent")
        self._rig.thread.start()

    def __exit__(self, *_: object) -> None:
        self._rig.stop()

"""One agent for tests: the real loop over the fake driver, against a real platform, in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from decent_cloud.agent import steps
from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID, PLATFORM_KEY, POOL, PROVIDER
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.records import Instance, Stage
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.accounts import PlatformView
from tests.support.people import Shop

T = TypeVar("T")
QUICK = Limits(connect_s=2, answer_s=5, attempts=2, first_pause_s=0.02, longest_pause_s=0.1)


def eventually(look: Callable[[], T | None], timeout_s: float = 15) -> T:
    """Return what `look` gives as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"never: {look}"
        time.sleep(0.01)


@dataclass(slots=True)
class Rig:
    """A provider's machine: data folder, fake cloud, and an agent that can be started and stopped."""

    url: str
    folder: Path
    keys: DeviceKeys
    provider: str
    pool: str
    backend: FakeBackend
    clock: Clock = field(default_factory=SystemClock)
    ports: tuple[int, int] | None = (21_000, 21_099)
    changed: dict[str, object] = field(default_factory=dict)
    agent: Agent | None = None
    thread: threading.Thread | None = None

    def settings(self) -> AgentSettings:
        fields: dict[str, object] = {
            "platform": self.url,
            "data_dir": str(self.folder),
            "driver": "fake",
            "public_host": "127.0.0.1" if self.ports else "",
            "poll_s": 1,
            "read_lag_ms": 200,
            "retry_first_ms": 50,
            "retry_longest_s": 1,
            "drain_s": 5,
            **self.changed,
        }
        return AgentSettings(**fields)  # type: ignore[arg-type]

    def journal(self) -> SqliteJournal:
        """Open the journal; a new one is given the pins that registration writes."""
        journal = SqliteJournal(self.folder / "journal.db")
        if not journal.fact(PLATFORM_ID):
            with Transport(self.url, limits=QUICK) as transport:
                view = transport.get("/platform", PlatformView)
            journal.set_facts(
                {
                    PLATFORM_ID: view.platform_id,
                    PLATFORM_KEY: view.key,
                    PROVIDER: self.provider,
                    POOL: self.pool,
                }
            )
        return journal

    def driver(self, platform_id: str) -> FakeDriver:
        settings: dict[str, object] = {"path": str(self.backend.path)}
        if self.ports:
            settings.update(first_port=self.ports[0], last_port=self.ports[1])
        return FakeDriver.from_settings(settings, platform_id)

    def build(self, on_step: steps.OnStep = steps.no_hook) -> Agent:
        journal = self.journal()
        driver = self.driver(journal.fact(PLATFORM_ID))
        parts = Parts(self.keys, journal, driver, self.clock, on_step, QUICK)
        return Agent(self.settings(), parts)

    def start(self, on_step: steps.OnStep = steps.no_hook) -> Agent:
        self.agent = self.build(on_step)
        self.thread = threading.Thread(target=self.agent.run, name="agent")
        self.thread.start()
        return self.agent

    def stop(self) -> None:
        if self.agent is not None and self.thread is not None:
            self.agent.stop()
            self.thread.join(20)
            assert not self.thread.is_alive()
            self.agent.work.journal.close()
            self.agent = None

    def instance(self, contract: str) -> Instance | None:
        assert self.agent is not None
        return self.agent.work.journal.instance(ContractId(contract))

    def stage(self, contract: str) -> Stage | None:
        found = self.instance(contract)
        return found.stage if found else None

    def reaches(self, contract: str, *stages: Stage, timeout_s: float = 15) -> None:
        eventually(lambda: self.stage(contract) in stages, timeout_s)


def rig_for(shop: Shop, url: str, folder: Path, backend: FakeBackend | None = None) -> Rig:
    folder.mkdir(parents=True, exist_ok=True)
    return Rig(
        url=url,
        folder=folder,
        keys=shop.agent_keys,
        provider=shop.owner.id,
        pool=shop.pool,
        backend=backend or FakeBackend(folder / "cloud.db"),
    )


@contextlib.contextmanager
def running(rig: Rig, on_step: steps.OnStep = steps.no_hook) -> Iterator[Agent]:
    """Run the rig's agent while the block lasts."""
    try:
        yield rig.start(on_step)
    finally:
        rig.stop()

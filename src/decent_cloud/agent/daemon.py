"""Builds a running agent out of its settings, key, journal, driver and platform, and ends it in order."""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import structlog

from decent_cloud.agent import steps
from decent_cloud.agent.act import Actor
from decent_cloud.agent.backend import Backend
from decent_cloud.agent.backoff import Backoff
from decent_cloud.agent.desired import DesiredState
from decent_cloud.agent.fetch import Fetcher, Hints
from decent_cloud.agent.heartbeat import Heart
from decent_cloud.agent.journal import PLATFORM_ID, PROVIDER, Journal
from decent_cloud.agent.lease import LeaseKeeper
from decent_cloud.agent.loop import Loop, Waker
from decent_cloud.agent.metering import Meter
from decent_cloud.agent.offered import OfferedWatch
from decent_cloud.agent.orders import Orders
from decent_cloud.agent.report import Reporter
from decent_cloud.agent.seal import Vault
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.agent.work import Work
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.drivers.contract import Driver
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.errors import Conflict, Invalid
from decent_cloud.kernel.ids import AccountId, RandomIds

_log = structlog.get_logger("dc-agent")

END_S = 5  # that a thread gets to end a call to the platform


class AgentRunning(Conflict):
    """Another agent works in this data folder."""

    code = "agent_running"


class NotRegistered(Invalid):
    """This agent is not registered with a platform yet; run: dc-agent register."""

    code = "not_registered"


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is built of; tests put others in."""

    keys: DeviceKeys
    journal: Journal
    driver: Driver
    clock: Clock = field(default_factory=SystemClock)
    on_step: steps.OnStep = steps.no_hook
    limits: Limits = field(default_factory=Limits)


class Agent:
    """One agent: `run` blocks until `stop` is called, from a signal handler or another thread."""

    def __init__(self, settings: AgentSettings, parts: Parts) -> None:
        """Wire everything up; nothing is called yet. Errors: NotRegistered."""
        provider = parts.journal.fact(PROVIDER)
        if not provider:
            raise NotRegistered
        self.settings = settings
        self._parts = parts
        self._threads: list[threading.Thread] = []
        self._transport = Transport(
            settings.platform,
            DeviceAuth(AccountId(provider), parts.keys, parts.clock),
            limits=parts.limits,
            clock=parts.clock,
        )
        api = AgentApi(self._transport)
        self.waker = Waker()
        self.backend = Backend(parts.driver, parts.journal, parts.clock, parts.on_step)
        self.desired = DesiredState(api, parts.journal, parts.on_step)
        self.keeper = LeaseKeeper(api, parts.clock, settings.lease_renew_s)
        self.fetcher = Fetcher(
            self.desired, parts.journal, parts.clock, settings.poll_s, self.waker.ready
        )
        self.offered = OfferedWatch(api, self.backend, parts.clock)
        self.hints = Hints(api.events, self.fetcher.refetch, self.offered.look)
        self.heart = Heart(
            api, parts.journal, self.backend, AccountId(provider), version("decent-cloud")
        )
        self.work = self._work(api, AccountId(provider))
        self.meter = Meter(self.work)
        self.actor = Actor(self.work)
        self.loop = Loop(self.work, self.actor, self.waker)
        self.keeper.on_lost = lambda contract: self.waker.ready([contract])

    def _work(self, api: AgentApi, provider: AccountId) -> Work:
        parts, settings = self._parts, self.settings
        backoff = Backoff(settings.retry_first_ms, settings.retry_longest_s * 1_000)
        return Work(
            settings=settings,
            api=api,
            journal=parts.journal,
            backend=self.backend,
            desired=self.desired,
            keeper=self.keeper,
            vault=Vault(),
            orders=Orders(api, parts.journal, provider),
            reporter=Reporter(api, parts.journal, backoff, parts.on_step),
            backoff=backoff,
            keys=parts.keys,
            provider=provider,
            platform_id=parts.journal.fact(PLATFORM_ID),
            clock=parts.clock,
            ids=RandomIds(),
            on_step=parts.on_step,
            refetch=self.fetcher.refetch,
        )

    def run(self) -> bool:
        """Work until stopped; return whether all running steps have ended."""
        every_s = self.settings.heartbeat_s
        for name, target in (
            ("fetch", self.fetcher.run),
            ("hints", self.hints.run),
            ("leases", self.keeper.run),
            ("heart", lambda: self.heart.run(every_s)),
            ("meter", lambda: self.meter.run(self.settings.meter_s)),
            ("offered", self.offered.run),
        ):
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        _log.info("agent runs", agent=self._parts.keys.kid)
        try:
            self.loop.run()
        finally:
            self.close()
        return self.loop.drained

    def stop(self) -> None:
        """Begin to end; safe from a signal handler's thread."""
        self.waker.stop()

    def close(self) -> None:
        """End the threads and close what is open."""
        self.hints.stop()
        self.fetcher.stop()
        self.heart.stop()
        self.meter.stop()
        self.offered.stop()
        self.keeper.stop()
        for thread in self._threads:
            thread.join(END_S)
        self._transport.close()
        self._parts.driver.close()
        _log.info("agent ended")


def lock_data_dir(path: Path) -> int:
    """Make sure that one agent works in the data folder; the lock is held while the process lives.

    Errors: AgentRunning.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise AgentRunning(f"another agent works in {path.parent}") from error
    return handle

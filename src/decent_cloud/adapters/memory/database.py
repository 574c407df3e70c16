"""The database that runs units of work on dictionaries: whole or not at all, one at a time."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from threading import RLock
from typing import TypeVar

from decent_cloud.adapters.memory.accounts import MemoryAccounts, MemoryPersonal
from decent_cloud.adapters.memory.contracts import MemoryAssignments, MemoryContracts
from decent_cloud.adapters.memory.first_scripts import MemoryFirstScripts
from decent_cloud.adapters.memory.money import MemoryLedger, MemoryPayments
from decent_cloud.adapters.memory.offerings import MemoryOfferings
from decent_cloud.adapters.memory.prices import MemoryPrices
from decent_cloud.adapters.memory.providers import MemoryProviders
from decent_cloud.adapters.memory.resets import MemoryResets
from decent_cloud.adapters.memory.tables import Journal
from decent_cloud.adapters.memory.work import (
    MemoryJobs,
    MemoryOutbox,
    MemoryPlatform,
    MemoryRequests,
)
from decent_cloud.app.ports.accounts import Accounts
from decent_cloud.app.ports.assignments import Assignments
from decent_cloud.app.ports.contracts import Contracts
from decent_cloud.app.ports.first_scripts import FirstScripts
from decent_cloud.app.ports.jobs import Jobs
from decent_cloud.app.ports.ledger import Ledger
from decent_cloud.app.ports.offerings import Offerings
from decent_cloud.app.ports.outbox import Outbox
from decent_cloud.app.ports.payments import Payments
from decent_cloud.app.ports.personal import Personal
from decent_cloud.app.ports.platform import PlatformStore
from decent_cloud.app.ports.prices import Prices
from decent_cloud.app.ports.providers import Providers
from decent_cloud.app.ports.requests import Requests
from decent_cloud.app.ports.resets import Resets
from decent_cloud.app.ports.unit_of_work import Topic, UnitOfWork
from decent_cloud.kernel.errors import StaleVersion, TryLater

T = TypeVar("T")

STALE_RERUNS = 5


class MemoryUnit:
    """Keeps the port `UnitOfWork`."""

    def __init__(self, journal: Journal) -> None:
        self.accounts: Accounts = MemoryAccounts(journal)
        self.personal: Personal = MemoryPersonal(journal)
        self.providers: Providers = MemoryProviders(journal)
        self.offerings: Offerings = MemoryOfferings(journal)
        self.first_scripts: FirstScripts = MemoryFirstScripts(journal)
        self.contracts: Contracts = MemoryContracts(journal)
        self.assignments: Assignments = MemoryAssignments(journal)
        self.resets: Resets = MemoryResets(journal)
        self.payments: Payments = MemoryPayments(journal)
        self.ledger: Ledger = MemoryLedger(journal)
        self.prices: Prices = MemoryPrices(journal)
        self.jobs: Jobs = MemoryJobs(journal)
        self.outbox: Outbox = MemoryOutbox(journal)
        self.requests: Requests = MemoryRequests(journal)
        self.platform: PlatformStore = MemoryPlatform(journal)


class MemoryListener:
    """Keeps the port `Listener`; `_woken` is the truth, the future only sleeps until it changes."""

    def __init__(self, listeners: set[MemoryListener], topic: Topic) -> None:
        self.topic = topic
        self._listeners = listeners
        self._woken = False
        self._sleeper: tuple[AbstractEventLoop, Future[None]] | None = None

    async def wait(self, timeout_s: float) -> bool:
        if not self._woken:
            loop = asyncio.get_running_loop()
            sleeper: Future[None] = loop.create_future()
            self._sleeper = (loop, sleeper)
            try:
                await asyncio.wait((sleeper,), timeout=timeout_s)
            finally:
                self._sleeper = None
        woken, self._woken = self._woken, False
        return woken

    def close(self) -> None:
        self._listeners.discard(self)
        self.wake()

    def wake(self) -> None:
        """Mark as woken and end a sleep."""
        self._woken = True
        if self._sleeper is not None:
            loop, sleeper = self._sleeper
            loop.call_soon_threadsafe(_end, sleeper)


def _end(sleeper: Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class MemoryDatabase:
    """Keeps the port `Database`."""

    def __init__(self) -> None:
        self._journal = Journal()
        self._unit = MemoryUnit(self._journal)
        self._lock = RLock()
        self._listeners: set[MemoryListener] = set()
        self._closed = False

    async def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn` whole or not at all; after StaleVersion run it again a few times."""
        await asyncio.sleep(0)  # others get their turn, as with a real database
        for _ in range(STALE_RERUNS):
            try:
                return self.write_now(fn)
            except StaleVersion:
                await asyncio.sleep(0)
        return self.write_now(fn)

    async def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn`, which must not write."""
        await asyncio.sleep(0)
        return self.read_now(fn)

    def write_now(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run a writing unit at once, for tests of use cases without an event loop."""
        with self._lock:
            self._begin(writing=True)
            try:
                result = fn(self._unit)
            except BaseException:
                self._journal.roll_back()
                raise
            for listener in self._listeners:
                if listener.topic in self._journal.topics:
                    listener.wake()
            return result

    def read_now(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run a reading unit at once."""
        with self._lock:
            self._begin(writing=False)
            return fn(self._unit)

    def listen(self, topic: Topic) -> MemoryListener:
        """Return a listener that wakes after commits."""
        listener = MemoryListener(self._listeners, topic)
        self._listeners.add(listener)
        return listener

    async def close(self) -> None:
        """Take no more units."""
        self._closed = True

    def _begin(self, *, writing: bool) -> None:
        if self._closed:
            raise TryLater("the database is closed")
        self._journal.begin(writing=writing)

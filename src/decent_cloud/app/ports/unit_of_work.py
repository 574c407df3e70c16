"""One transaction over everything the platform remembers, and the database that runs it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, TypeVar

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

T = TypeVar("T")


class UnitOfWork(Protocol):
    """What a use case sees: one store per noun, all in one transaction.

    Stores raise StaleVersion when a record was changed since it was read, AlreadyExists for a
    taken id.
    A use case may run twice (a retry after a serialization failure or a stale version): it mints
    no ids, reads no clock, sends nothing, and never catches an error of a store and goes on.
    """

    accounts: Accounts
    personal: Personal
    providers: Providers
    offerings: Offerings
    first_scripts: FirstScripts
    contracts: Contracts
    assignments: Assignments
    resets: Resets
    payments: Payments
    ledger: Ledger
    prices: Prices
    jobs: Jobs
    outbox: Outbox
    requests: Requests
    platform: PlatformStore


class Topic(StrEnum):
    """What a commit may have added."""

    JOBS = "jobs"
    OUTBOX = "outbox"


class Listener(Protocol):
    """Waits for commits of one topic; a wake-up may be missed across processes, so callers also
    poll.
    """

    async def wait(self, timeout_s: float) -> bool:
        """Return True at once after a commit of the topic since the last wait, False after the time
        limit.
        """
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class Database(Protocol):
    """Runs units of work: each in one transaction, whole or not at all."""

    async def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn` in a transaction and return its result after the commit; retries serialization
        failures.
        """
        ...

    async def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn` on one consistent snapshot; it must not write."""
        ...

    def listen(self, topic: Topic) -> Listener:
        """Return a listener that wakes when a commit of this process touched the topic."""
        ...

    async def close(self) -> None:
        """Finish running units and release connections."""
        ...

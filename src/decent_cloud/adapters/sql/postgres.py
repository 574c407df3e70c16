"""PostgreSQL: a pool of threads, each with a connection; one unit is one transaction.

READ COMMITTED with row locks and compare-and-swap; the unit runs again after a deadlock or a serialization failure.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from decent_cloud.adapters.sql.errors import translated, wants_rerun
from decent_cloud.adapters.sql.session import Dialect, Session
from decent_cloud.adapters.sql.unit import SqlUnit
from decent_cloud.adapters.sql.wakes import Outcome, Waiting, Wakes
from decent_cloud.app.ports.unit_of_work import Topic
from decent_cloud.kernel.errors import TryLater

CONNECTIONS = 8
MOST_RUNS = 12
# While transactions that began earlier still run, an event is not shown yet: their ends wake its readers too.
UNSETTLED_S = 5.0

_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_LIMITS = (
    "SET lock_timeout = '10s'",
    "SET statement_timeout = '60s'",
    "SET idle_in_transaction_session_timeout = '60s'",
)


def open_postgres(url: str) -> psycopg.Connection[Any]:
    """Open a connection with our own BEGIN and COMMIT, and limits that keep one stuck unit from stopping all."""
    connection = psycopg.connect(url, autocommit=True, application_name="decent-cloud")
    for limit in _LIMITS:
        connection.execute(limit)
    return connection


class _Place:
    """One thread's connection and the unit on it."""

    def __init__(self, url: str, master_key: bytes) -> None:
        self.connection = open_postgres(url)
        self.cursor = self.connection.cursor()
        self.writing = self._unit(master_key, writing=True)
        self.reading = self._unit(master_key, writing=False)

    def _unit(self, master_key: bytes, *, writing: bool) -> SqlUnit:
        return SqlUnit(Session(self.cursor, Dialect.POSTGRESQL, writing=writing), master_key)


class PostgresEngine:
    """Runs units on one database."""

    def __init__(self, url: str, master_key: bytes, wakes: Wakes, connections: int) -> None:
        self._url = url
        self._master_key = master_key
        self._wakes = wakes
        self._local = threading.local()
        self._open: list[psycopg.Connection[Any]] = []
        self._unsettled_until_s = 0.0
        self._writers = ThreadPoolExecutor(connections, thread_name_prefix="postgres-writer")
        self._readers = ThreadPoolExecutor(max(2, connections // 2), "postgres-reader")

    def write(self, waiting: Waiting) -> None:
        """Queue a writing unit."""
        self._writers.submit(self._write, waiting)

    def read(self, waiting: Waiting) -> None:
        """Queue a reading unit."""
        self._readers.submit(self._read, waiting)

    def close(self) -> None:
        """Finish what is queued, then close; blocks."""
        self._writers.shutdown()
        self._readers.shutdown()
        for connection in self._open:
            connection.close()

    def _write(self, waiting: Waiting) -> None:
        topics: set[Topic] = set()
        try:
            result, topics = self._rerun(waiting)
            outcome = Outcome(waiting, result)
        except BaseException as error:  # noqa: BLE001 - the caller is told, the thread serves others
            outcome = Outcome(waiting, error=translated(error))
        if Topic.OUTBOX in topics:
            self._unsettled_until_s = time.monotonic() + UNSETTLED_S
        elif time.monotonic() < self._unsettled_until_s:
            topics = topics | {Topic.OUTBOX}
        self._wakes.send([outcome], topics)

    def _rerun(self, waiting: Waiting) -> tuple[Any, set[Topic]]:
        for run in range(MOST_RUNS):
            try:
                return self._once(waiting)
            except Exception as error:
                if not wants_rerun(error):
                    raise
                time.sleep(random.uniform(0, 0.002) * 2**run)  # noqa: S311 - spreads retries, hides nothing
        raise TryLater("too many writers want the same rows; nothing was changed")

    def _once(self, waiting: Waiting) -> tuple[Any, set[Topic]]:
        place = self._begin(_WRITE)
        session = place.writing.session
        session.begin(firm=waiting.firm)
        try:
            result = waiting.fn(place.writing)
        except BaseException:
            self._roll_back(place)
            raise
        try:
            place.cursor.execute("COMMIT")
        except BaseException as error:
            self._roll_back(place)
            if place.connection.closed:
                raise TryLater("the database went away in a commit: look before a retry") from error
            raise
        return result, session.topics

    def _read(self, waiting: Waiting) -> None:
        try:
            place = self._begin(_READ)
            try:
                outcome = Outcome(waiting, waiting.fn(place.reading))
            finally:
                self._roll_back(place)
        except BaseException as error:  # noqa: BLE001 - the caller is told, the thread serves others
            outcome = Outcome(waiting, error=translated(error))
        self._wakes.send([outcome], set())

    def _begin(self, how: str) -> _Place:
        """Begin on this thread's connection; one that was cut off while it idled is opened anew."""
        place: _Place | None = getattr(self._local, "place", None)
        if place is not None:
            try:
                place.cursor.execute(how)
                return place
            except Exception:
                if not place.connection.closed:
                    raise
                self._open.remove(place.connection)
        place = self._local.place = _Place(self._url, self._master_key)
        self._open.append(place.connection)
        place.cursor.execute(how)
        return place

    def _roll_back(self, place: _Place) -> None:
        if not place.connection.closed:
            place.cursor.execute("ROLLBACK")

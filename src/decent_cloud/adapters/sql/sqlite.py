"""SQLite: one writer thread that commits queued units together, and a few readers on snapshots.

A commit costs one flush of the disk however many units it carries. Each unit has a savepoint of its own, so that one
that fails leaves the others whole; if the batch itself fails, each unit runs again alone.
"""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from decent_cloud.adapters.sql.errors import translated
from decent_cloud.adapters.sql.session import Dialect, Session
from decent_cloud.adapters.sql.unit import SqlUnit
from decent_cloud.adapters.sql.wakes import Outcome, Waiting, Wakes
from decent_cloud.app.ports.unit_of_work import Topic

MOST_A_BATCH = 64
READERS = 3
BUSY_TIMEOUT_MS = 5_000

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "recursive_triggers = ON",
    "secure_delete = FAST",
    "journal_size_limit = 67108864",  # after a burst the log gives its room back
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
)


def open_sqlite(path: str, *, reading: bool = False) -> sqlite3.Connection:
    """Open a connection as every part of this program must: durable, with foreign keys, own BEGIN and COMMIT."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()
    if reading:
        connection.execute("PRAGMA query_only = ON").close()
    return connection


class SqliteEngine:
    """Runs units on one file."""

    def __init__(self, path: str, master_key: bytes, wakes: Wakes) -> None:
        self._path = path
        self._master_key = master_key
        self._wakes = wakes
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._connection = open_sqlite(path)
        self._cursor = self._connection.cursor()
        self._unit = self._unit_on(self._cursor, writing=True)
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._writer = threading.Thread(target=self._serve, name="sqlite-writer", daemon=True)
        self._writer.start()

    def write(self, waiting: Waiting) -> None:
        """Queue a writing unit."""
        self._queue.put(waiting)

    def read(self, waiting: Waiting) -> None:
        """Queue a reading unit."""
        self._readers.submit(self._read, waiting)

    def close(self) -> None:
        """Finish what is queued, then close; blocks."""
        self._queue.put(None)
        self._writer.join()
        self._readers.shutdown()
        for connection in self._reading:
            connection.close()

    def _serve(self) -> None:
        while True:
            first = self._queue.get()
            batch = [first]
            try:
                while batch[-1] is not None and len(batch) < MOST_A_BATCH:
                    batch.append(self._queue.get_nowait())
            except Empty:
                pass
            units = [waiting for waiting in batch if waiting is not None]
            if units:
                self._commit(units)
            if len(units) < len(batch):
                self._connection.close()
                return

    def _commit(self, batch: list[Waiting]) -> None:
        """Run a batch in one transaction; results are handed out after COMMIT has returned, never before."""
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._wakes.send([_failed(waiting, error) for waiting in batch], set())
            return
        try:
            outcomes, topics = self._run(batch)
            self._cursor.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the thread serves everybody and must live on
            self._roll_back()
            if len(batch) == 1:
                self._wakes.send([_failed(batch[0], error)], set())
                return
            for waiting in batch:
                self._commit([waiting])
            return
        self._wakes.send(outcomes, topics)

    def _run(self, batch: list[Waiting]) -> tuple[list[Outcome], set[Topic]]:
        outcomes: list[Outcome] = []
        topics: set[Topic] = set()
        session, execute = self._unit.session, self._cursor.execute
        for waiting in batch:
            session.begin()
            if len(batch) == 1:
                outcomes.append(Outcome(waiting, waiting.fn(self._unit)))
            else:
                execute("SAVEPOINT unit")
                try:
                    outcomes.append(Outcome(waiting, waiting.fn(self._unit)))
                except BaseException as error:
                    if not self._connection.in_transaction:
                        raise  # the engine ended the whole transaction (disk full, RAISE(ROLLBACK))
                    execute("ROLLBACK TO unit")
                    execute("RELEASE unit")
                    outcomes.append(_failed(waiting, error))
                    continue
                execute("RELEASE unit")
            topics |= session.topics
        return outcomes, topics

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def _read(self, waiting: Waiting) -> None:
        try:
            if not hasattr(self._local, "unit"):
                connection = open_sqlite(self._path, reading=True)
                self._reading.append(connection)
                self._local.cursor = connection.cursor()
                self._local.unit = self._unit_on(self._local.cursor, writing=False)
            self._local.cursor.execute("BEGIN")
            try:
                outcome = Outcome(waiting, waiting.fn(self._local.unit))
            finally:
                self._local.cursor.execute("ROLLBACK")
        except BaseException as error:  # noqa: BLE001 - the caller is told, the thread serves others
            outcome = _failed(waiting, error)
        self._wakes.send([outcome], set())

    def _unit_on(self, cursor: sqlite3.Cursor, *, writing: bool) -> SqlUnit:
        return SqlUnit(Session(cursor, Dialect.SQLITE, writing=writing), self._master_key)


def _failed(waiting: Waiting, error: BaseException) -> Outcome:
    return Outcome(waiting, error=translated(error))

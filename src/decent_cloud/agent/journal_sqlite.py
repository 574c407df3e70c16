"""The journal in one SQLite file: what matters is on the disk before the next step begins."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from decent_cloud.agent.journal import AlreadyFulfilled, JournalBroken, JournalFull, NoFreePort
from decent_cloud.agent.records import Alarm, Attempt, Change, Instance, Quarantined, Report, Want
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import AccountId, ContractId, Digest

FORMAT = 1
# Records are JSON: an older agent's file is read by a newer one, whose new fields have defaults.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (
    account TEXT PRIMARY KEY, seq INTEGER NOT NULL, head TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wants (contract TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instances (contract TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT PRIMARY KEY, contract TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (contract);
CREATE TABLE IF NOT EXISTS ports (port INTEGER PRIMARY KEY, contract TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, contract TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS reports_of ON reports (contract);
CREATE TABLE IF NOT EXISTS fulfilled (
    digest TEXT PRIMARY KEY, contract TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    number INTEGER PRIMARY KEY, contract TEXT NOT NULL, instance TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (contract, instance));
CREATE TABLE IF NOT EXISTS alarms (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
"""


class SqliteJournal:
    """Keeps the `Journal` port in a file; one connection, one writer at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Errors: JournalFull, JournalBroken (also for a newer format)."""
        self._lock = threading.RLock()
        self._full = ""
        with _told(path):
            self._db = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False
            )
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                found = int(self._db.execute("PRAGMA user_version").fetchone()[0])
                if found > FORMAT:
                    raise JournalBroken(
                        f"the journal was written by a newer agent (format {found})"
                    )
                self._db.executescript(_SCHEMA)
                self._db.execute(f"PRAGMA user_version={FORMAT}")
            except BaseException:
                self._db.close()
                raise
        self._path = path

    def fact(self, name: str) -> str:
        rows = self._read("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else ""

    def set_facts(self, facts: Mapping[str, str]) -> None:
        with self._writing() as db:
            self._set_facts(db, facts)

    @staticmethod
    def _set_facts(db: sqlite3.Connection, facts: Mapping[str, str]) -> None:
        db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def pin(self, account: AccountId) -> Pin | None:
        rows = self._read("SELECT seq, head FROM pins WHERE account = ?", account)
        return Pin(int(rows[0][0]), Digest(rows[0][1])) if rows else None

    def set_pin(self, account: AccountId, pin: Pin) -> None:
        with self._writing() as db:
            db.execute(
                "INSERT INTO pins VALUES (?, ?, ?) ON CONFLICT (account) DO UPDATE"
                " SET seq = excluded.seq, head = excluded.head WHERE excluded.seq > seq",
                (account, pin.seq, pin.head),
            )

    def record_desired(self, facts: Mapping[str, str], wants: Iterable[Want]) -> None:
        # Lost with the machine's power, it is told again: an older pin is as good as a newer one.
        with self._writing(flush=False) as db:
            self._set_facts(db, facts)
            rows = [(want.contract, _text(want)) for want in wants]
            db.executemany("INSERT OR REPLACE INTO wants VALUES (?, ?)", rows)

    def want(self, contract: ContractId) -> Want | None:
        rows = self._read("SELECT body FROM wants WHERE contract = ?", contract)
        return codec.from_json(rows[0][0], Want) if rows else None

    def wants(self) -> tuple[Want, ...]:
        rows = self._read("SELECT body FROM wants ORDER BY contract")
        return tuple(codec.from_json(row[0], Want) for row in rows)

    def instance(self, contract: ContractId) -> Instance | None:
        rows = self._read("SELECT body FROM instances WHERE contract = ?", contract)
        return codec.from_json(rows[0][0], Instance) if rows else None

    def instances(self) -> tuple[Instance, ...]:
        rows = self._read("SELECT body FROM instances ORDER BY contract")
        return tuple(codec.from_json(row[0], Instance) for row in rows)

    def commit(self, change: Change) -> None:
        contract = change.instance.contract
        with self._writing(flush=change.flush) as db:
            if change.fulfils is not None:
                _fulfil(db, change.fulfils, contract)
            db.execute(
                "INSERT OR REPLACE INTO instances VALUES (?, ?)", (contract, _text(change.instance))
            )
            if change.attempt is not None:
                row = (change.attempt.id, contract, _text(change.attempt))
                db.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)", row)
            for report in change.reports:
                db.execute(
                    "INSERT INTO reports (key, contract, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (report.key, report.contract, _text(report)),
                )
            for key in change.acknowledged:
                db.execute("DELETE FROM reports WHERE key = ?", (key,))
            for found in change.quarantined:
                _quarantine(db, found)
            if change.frees_port:
                db.execute("DELETE FROM ports WHERE contract = ?", (contract,))

    def attempt(self, attempt: str) -> Attempt | None:
        rows = self._read("SELECT body FROM attempts WHERE id = ?", attempt)
        return codec.from_json(rows[0][0], Attempt) if rows else None

    def reserve_port(
        self, contract: ContractId, first: int, last: int, skip: frozenset[int]
    ) -> int:
        with self._writing() as db:
            taken: dict[int, str] = dict(db.execute("SELECT port, contract FROM ports"))
            held = next((port for port, holder in taken.items() if holder == contract), 0)
            if first <= held <= last and held not in skip:
                return held
            free = (p for p in range(first, last + 1) if p not in taken and p not in skip)
            port = next(free, 0)
            if not port:
                raise NoFreePort(
                    f"all ports from {first} to {last} are taken", first=first, last=last
                )
            db.execute("DELETE FROM ports WHERE contract = ?", (contract,))
            db.execute("INSERT INTO ports VALUES (?, ?)", (port, contract))
            return port

    def ports(self) -> Mapping[int, ContractId]:
        rows = self._read("SELECT port, contract FROM ports ORDER BY port")
        return {int(port): ContractId(contract) for port, contract in rows}

    def reports(self) -> tuple[Report, ...]:
        rows = self._read("SELECT body FROM reports ORDER BY number")
        return tuple(codec.from_json(row[0], Report) for row in rows)

    def reports_of(self, contract: ContractId) -> tuple[Report, ...]:
        rows = self._read("SELECT body FROM reports WHERE contract = ? ORDER BY number", contract)
        return tuple(codec.from_json(row[0], Report) for row in rows)

    def keep_report(self, report: Report) -> None:
        with self._writing() as db:
            db.execute("UPDATE reports SET body = ? WHERE key = ?", (_text(report), report.key))

    def quarantine(self, found: Quarantined) -> bool:
        with self._writing() as db:
            return _quarantine(db, found)

    def release(self, found: Quarantined) -> None:
        with self._writing() as db:
            row = (found.contract, found.instance)
            db.execute("DELETE FROM quarantine WHERE contract = ? AND instance = ?", row)

    def quarantined(self) -> tuple[Quarantined, ...]:
        rows = self._read("SELECT body FROM quarantine ORDER BY number")
        return tuple(codec.from_json(row[0], Quarantined) for row in rows)

    def raise_alarm(self, alarm: Alarm) -> bool:
        with self._writing() as db:
            row = db.execute("SELECT body FROM alarms WHERE name = ?", (alarm.name,)).fetchone()
            if row is None:
                values = (alarm.name, _text(alarm))
                db.execute("INSERT INTO alarms (name, body) VALUES (?, ?)", values)
                return True
            kept = Alarm(alarm.name, alarm.text, codec.from_json(row[0], Alarm).since_ms)
            db.execute("UPDATE alarms SET body = ? WHERE name = ?", (_text(kept), alarm.name))
            return False

    def clear_alarm(self, name: str) -> None:
        # Asked on every good pass: look first, a write costs a disk flush.
        if self._read("SELECT 1 FROM alarms WHERE name = ?", name):
            with self._writing() as db:
                db.execute("DELETE FROM alarms WHERE name = ?", (name,))

    def alarms(self) -> tuple[Alarm, ...]:
        rows = self._read("SELECT body FROM alarms ORDER BY number")
        kept = tuple(codec.from_json(row[0], Alarm) for row in rows)
        # The one alarm that cannot be written down.
        return (*kept, Alarm(JournalFull.code, self._full, 0)) if self._full else kept

    def forget(self, contract: ContractId) -> None:
        with self._writing() as db:
            for table in ("instances", "wants", "attempts", "quarantine", "ports"):
                db.execute(f"DELETE FROM {table} WHERE contract = ?", (contract,))  # noqa: S608

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _read(self, query: str, *values: str) -> list[tuple[str, ...]]:
        with self._lock, _told(self._path):
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self, *, flush: bool = True) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, _told(self._path), self._transaction(flush=flush) as db:
                yield db
        except JournalFull as error:
            self._full = error.message
            raise
        self._full = ""

    @contextlib.contextmanager
    def _transaction(self, *, flush: bool) -> Iterator[sqlite3.Connection]:
        if not flush:
            self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if not flush:
                self._db.execute("PRAGMA synchronous=FULL")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, naming the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise JournalFull(
                f"the journal {path} cannot be written ({error}); free disk space"
            ) from error
        raise JournalBroken(f"the journal {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalBroken(f"the journal {path}: {error}") from error


def _text(record: object) -> str:
    return codec.to_json(record).decode()


def _fulfil(db: sqlite3.Connection, digest: Digest, contract: ContractId) -> None:
    db.execute("INSERT INTO fulfilled VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, contract))
    row = db.execute("SELECT contract FROM fulfilled WHERE digest = ?", (digest,)).fetchone()
    if row[0] != contract:
        raise AlreadyFulfilled


def _quarantine(db: sqlite3.Connection, found: Quarantined) -> bool:
    cursor = db.execute(
        "INSERT INTO quarantine (contract, instance, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (found.contract, found.instance, _text(found)),
    )
    return cursor.rowcount == 1

"""The fake cloud itself: machines, calls and faults in one SQLite file that outlives its users."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from decent_cloud.drivers.fake.script import Fault, Script, Verb
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock, SystemClock

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, platform TEXT NOT NULL,
    contract TEXT NOT NULL, attempt TEXT NOT NULL, image TEXT NOT NULL, host TEXT NOT NULL,
    port INTEGER NOT NULL, host_key TEXT NOT NULL, ssh_keys TEXT NOT NULL,
    password_hash TEXT NOT NULL, stopped INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL, deleted_at_ms INTEGER
);
CREATE TABLE IF NOT EXISTS first_runs (
    machine INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, at_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, contract TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, fault TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance as the fake cloud keeps it; deleted ones stay for the record."""

    id: int
    name: str
    platform: str
    contract: str
    attempt: str
    image: str
    host: str
    port: int
    host_key: str
    ssh_keys: str
    password_hash: str
    stopped: bool
    created_at_ms: int
    deleted_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call that reached the fake cloud."""

    verb: Verb
    contract: str
    at_ms: int


class FakeBackend:
    """A handle on the file; any number of processes and threads may hold one."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open the file, making it where it does not exist."""
        self.path = path
        self.clock = clock or SystemClock()
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
            db.executescript(_SCHEMA)
            with contextlib.suppress(sqlite3.OperationalError):  # another program switches it now
                db.execute("PRAGMA journal_mode=WAL")
        with self.transaction() as db:
            scope = f"fake-{secrets.token_hex(8)}"
            db.execute("INSERT OR IGNORE INTO facts VALUES ('scope', ?)", (scope,))
            script = codec.to_json(Script()).decode()
            db.execute("INSERT OR IGNORE INTO facts VALUES ('script', ?)", (script,))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one short write transaction; it survives the process's death, not the host's."""
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous=OFF")
            db.execute("BEGIN IMMEDIATE")
            yield db
            if db.in_transaction:
                db.execute("COMMIT")
        finally:
            db.close()

    # What tests and other programs tell it.

    def script(self) -> Script:
        """Return the present behaviour."""
        with self.transaction() as db:
            return read_script(db)

    def change(self, **fields: object) -> Script:
        """Change fields of the script, for every program that uses this file; raises Invalid."""
        with self.transaction() as db:
            changed = codec.convert({**msgspec.structs.asdict(read_script(db)), **fields}, Script)
            text = codec.to_json(changed).decode()
            db.execute("UPDATE facts SET value = ? WHERE name = 'script'", (text,))
        return changed

    def fail_next(self, verb: Verb, fault: Fault, times: int = 1) -> None:
        """Make the next calls of a verb fail; faults of one verb are used up in order."""
        with self.transaction() as db:
            rows = [(verb.value, fault.value)] * times
            db.executemany("INSERT INTO faults (verb, fault) VALUES (?, ?)", rows)

    def become(self, scope: str) -> None:
        """Answer as another backend from now on: change the fingerprint."""
        with self.transaction() as db:
            db.execute("UPDATE facts SET value = ? WHERE name = 'scope'", (scope,))

    def add_foreign(self, name: str, platform: str = "", contract: str = "") -> Machine:
        """Put in a machine that no driver of this platform made."""
        with self.transaction() as db:
            row = (name, platform, contract, self.clock.now_ms())
            cursor = db.execute(
                "INSERT INTO instances (name, platform, contract, attempt, image, host, port,"
                " host_key, ssh_keys, password_hash, created_at_ms)"
                " VALUES (?, ?, ?, '', '', '', 0, '', '', '', ?)",
                row,
            )
            return read_machines(db, "id = ?", (cursor.lastrowid,))[0]

    def vanish(self, machine_id: int) -> None:
        """Remove a machine behind the agent's back."""
        with self.transaction() as db:
            now = self.clock.now_ms()
            db.execute("UPDATE instances SET deleted_at_ms = ? WHERE id = ?", (now, machine_id))

    # What tests and reachability checks ask it.

    def scope(self) -> str:
        """Return the fingerprint."""
        with self.transaction() as db:
            return read_scope(db)

    def machines(self, contract: str = "", *, deleted: bool = False) -> tuple[Machine, ...]:
        """Return the machines there are (with `deleted` also those that were), oldest first."""
        where = "1" if deleted else "deleted_at_ms IS NULL"
        with self.transaction() as db:
            if contract:
                return read_machines(db, f"{where} AND contract = ?", (contract,))
            return read_machines(db, where, ())

    def calls(self, verb: Verb, contract: str = "") -> tuple[Call, ...]:
        """Return the calls of one verb in order, failed ones included."""
        with self.transaction() as db:
            rows = db.execute(
                "SELECT verb, contract, at_ms FROM calls"
                " WHERE verb = ? AND ? IN ('', contract) ORDER BY id",
                (verb.value, contract),
            )
            return tuple(Call(Verb(row[0]), row[1], row[2]) for row in rows)

    def first_runs(self, machine_id: int) -> tuple[str, ...]:
        """Return the hash of what a machine ran first, if anything: its marker lets nothing run again."""
        with self.transaction() as db:
            rows = db.execute("SELECT sha256 FROM first_runs WHERE machine = ?", (machine_id,))
            return tuple(str(row[0]) for row in rows)

    def takes_password(self, machine_id: int, password: str) -> bool:
        """Tell whether a machine lets somebody in with this password."""
        with self.transaction() as db:
            found = read_machines(db, "id = ? AND deleted_at_ms IS NULL", (machine_id,))
        return bool(found) and fits(password, found[0].password_hash)

    def host_key_at(self, host: str, port: int) -> str | None:
        """Return the host key that an SSH client would see there now; None where nobody answers."""
        now = self.clock.now_ms()
        with self.transaction() as db:
            script = read_script(db)
            where = "host = ? AND port = ? AND stopped = 0 AND deleted_at_ms IS NULL"
            found = read_machines(db, where, (host, port))
        ready = [each for each in found if each.created_at_ms + script.boot_ms <= now]
        if script.dark or not ready:
            return None
        return script.foreign_host_key or ready[0].host_key


def hashed(password: str) -> str:
    """Return a password as the fake cloud keeps it: salted and hashed."""
    salt = secrets.token_hex(8)
    return f"{salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"


def fits(password: str, kept: str) -> bool:
    """Tell whether it is the password behind a kept hash."""
    salt, _, digest = kept.partition("$")
    return bool(digest) and hashlib.sha256((salt + password).encode()).hexdigest() == digest


def read_script(db: sqlite3.Connection) -> Script:
    """Read the behaviour inside a transaction."""
    row = db.execute("SELECT value FROM facts WHERE name = 'script'").fetchone()
    return codec.from_json(row[0], Script)


def read_scope(db: sqlite3.Connection) -> str:
    """Read the fingerprint inside a transaction."""
    return str(db.execute("SELECT value FROM facts WHERE name = 'scope'").fetchone()[0])


def read_machines(
    db: sqlite3.Connection, where: str, values: tuple[object, ...]
) -> tuple[Machine, ...]:
    """Read machines inside a transaction; `where` is ours, never a caller's text."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM instances WHERE {where} ORDER BY id"  # noqa: S608
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in db.execute(query, values)]
    return tuple(Machine(**{**row, "stopped": bool(row["stopped"])}) for row in rows)


_COLUMNS = tuple(Machine.__dataclass_fields__)

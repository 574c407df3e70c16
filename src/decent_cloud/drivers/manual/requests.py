"""What people are asked to make and remove, in one SQLite file that agent and commands share.

Secrets in it are hashed or sealed to a key in a file of its own, and erased when they are done with.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from decent_cloud.drivers.contract import InstanceSpec, NoCapacity, Secret
from decent_cloud.drivers.parts.host_key import openssh_private
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import Conflict, Invalid, NotFound

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, platform TEXT NOT NULL, contract TEXT NOT NULL,
    attempt TEXT NOT NULL, wanted TEXT NOT NULL, host_key TEXT NOT NULL, sealed TEXT NOT NULL,
    password_hash TEXT NOT NULL, step TEXT NOT NULL, host TEXT NOT NULL DEFAULT '',
    port INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    created_at_ms INTEGER NOT NULL, changed_at_ms INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0
)""",
    """CREATE UNIQUE INDEX IF NOT EXISTS one_live ON requests (platform, contract)
    WHERE step IN ('asked', 'running', 'removal_asked')""",
)


class Step(StrEnum):
    """Where a request stands."""

    ASKED = "asked"
    RUNNING = "running"
    REMOVAL_ASKED = "removal_asked"
    GONE = "gone"
    FAILED = "failed"


LIVE = frozenset({Step.ASKED, Step.RUNNING, Step.REMOVAL_ASKED})
WAITING = frozenset({Step.ASKED, Step.REMOVAL_ASKED})  # for a person


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `wanted` is JSON without secrets: size, image, keys, user data."""

    id: int
    platform: str
    contract: str
    attempt: str
    wanted: str
    host_key: str
    step: Step
    host: str
    port: int
    reason: str
    created_at_ms: int
    changed_at_ms: int
    told: bool


class Requests:
    """A handle on the file; any number of programs may hold one."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.key_file = path.with_name(path.name + ".key")
        self._clock = clock
        self._ready = False

    def scope(self) -> str:
        """Return the file's own mark."""
        with self._transaction() as db:
            return _fact(db, "scope")

    def ask(self, spec: InstanceSpec, images: tuple[str, ...], capacity: int | None) -> Request:
        """Write the request down, or return the one that this contract has. Errors: NoCapacity, Invalid."""
        wanted = codec.to_json(_wanted(spec)).decode()
        with self._transaction() as db:
            known = _find(db, "platform = ? AND contract = ?", spec.platform, spec.contract)
            if known and known[-1].step is not Step.GONE:
                return known[-1]
            if images and spec.image not in images:
                raise Invalid(
                    f"the image {spec.image!r} is not offered; offered: {', '.join(images)}"
                )
            alive = [each for each in _find(db, "1") if each.step in LIVE]
            if capacity is not None and len(alive) >= capacity:
                raise NoCapacity(f"{len(alive)} machines are all that the settings allow")
            box = SealedBox(PublicKey(bytes.fromhex(_fact(db, "public_key"))))
            sealed = box.encrypt(openssh_private(spec.host_key)).hex()
            now_ms = self._clock.now_ms()
            cursor = db.execute(
                "INSERT INTO requests (platform, contract, attempt, wanted, host_key, sealed,"
                " password_hash, step, created_at_ms, changed_at_ms) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (spec.platform, spec.contract, spec.attempt, wanted, spec.host_key.public, sealed,
                 hash_password(spec.password.reveal()), Step.ASKED, now_ms, now_ms),
            )  # fmt: skip
            return _find(db, "id = ?", cursor.lastrowid)[0]

    def all(self) -> tuple[Request, ...]:
        """Return all requests, oldest first."""
        with self._transaction() as db:
            return _find(db, "1")

    def get(self, number: int) -> Request | None:
        """Return one request."""
        with self._transaction() as db:
            found = _find(db, "id = ?", number)
            return found[0] if found else None

    def newest(self, contract: str) -> Request:
        """Return a contract's newest request. Errors: NotFound."""
        with self._transaction() as db:
            return _newest(db, contract)

    def ask_removal(self, number: int) -> Request:
        """Ask for the removal of what is live; what is not stays as it is."""
        with self._transaction() as db:
            found = _find(db, "id = ?", number)[0]
            if found.step in {Step.ASKED, Step.RUNNING}:
                self._move(db, found, Step.REMOVAL_ASKED, told=0)
            return _find(db, "id = ?", number)[0]

    def complete(self, contract: str, host: str, port: int, host_key: str) -> Request:
        """Write down where the machine answers. Errors: NotFound, Conflict, Invalid (another host key)."""
        with self._transaction() as db:
            found = _newest(db, contract)
            if found.step is Step.RUNNING and (found.host, found.port) == (host, port):
                return found
            if found.step is not Step.ASKED:
                raise Conflict(
                    f"the machine of {contract} is {found.step}; nothing waits to be made"
                )
            if host_key.split()[:2] != found.host_key.split():
                raise Invalid(
                    "the machine shows another host key than the tenant will be told; "
                    f"install the one of: dc-agent manual show {contract} --into FOLDER",
                    field="host_key",
                )
            self._move(db, found, Step.RUNNING, host=host, port=port, sealed="", password_hash="")
            return _newest(db, contract)

    def fail(self, contract: str, reason: str) -> Request:
        """Say that the machine cannot be made. Errors: NotFound, Conflict."""
        with self._transaction() as db:
            found = _newest(db, contract)
            if found.step is not Step.ASKED:
                raise Conflict(
                    f"the machine of {contract} is {found.step}; only a request can fail"
                )
            self._move(db, found, Step.FAILED, reason=reason, sealed="", password_hash="")
            return _newest(db, contract)

    def gone(self, contract: str, *, lost: bool = False) -> Request:
        """Say that the machine is removed, or lost. Errors: NotFound, Conflict."""
        with self._transaction() as db:
            found = _newest(db, contract)
            if found.step in {Step.GONE, Step.FAILED}:
                return found
            if found.step is not Step.REMOVAL_ASKED and not lost:
                raise Conflict(
                    f"nobody asked for the removal of {contract}; if its machine was lost, add --lost"
                )
            self._move(db, found, Step.GONE, sealed="", password_hash="")
            return _newest(db, contract)

    def was_told(self, number: int) -> None:
        """Note that people know of it."""
        with self._transaction() as db:
            db.execute("UPDATE requests SET told = 1 WHERE id = ?", (number,))

    def secrets_of(self, contract: str, key_file: Path) -> tuple[Secret, Secret]:
        """Return private host key (OpenSSH) and password hash. Errors: NotFound, Conflict, Invalid."""
        with self._transaction() as db:
            found = _newest(db, contract)
            row = db.execute("SELECT sealed, password_hash FROM requests WHERE id = ?", (found.id,))
            sealed, password_hash = row.fetchone()
        if not sealed:
            raise Conflict(f"the machine of {contract} is {found.step}; its secrets are erased")
        try:
            key = PrivateKey(bytes.fromhex(key_file.read_text().strip()))
            private = SealedBox(key).decrypt(bytes.fromhex(sealed))
        except FileNotFoundError as error:
            raise NotFound(f"there is no key file {key_file}; give --key") from error
        except (OSError, ValueError, CryptoError) as error:
            raise Invalid(f"{key_file} does not open the secrets", field="key") from error
        return Secret(private.decode()), Secret(password_hash)

    def _move(self, db: sqlite3.Connection, found: Request, step: Step, **changes: object) -> None:
        fields: dict[str, object] = {"step": step, "changed_at_ms": self._clock.now_ms(), **changes}
        names = ", ".join(f"{name} = ?" for name in fields)
        db.execute(f"UPDATE requests SET {names} WHERE id = ?", (*fields.values(), found.id))  # noqa: S608

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self._ready:
            self._prepare()
        with contextlib.closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete=ON")
            db.execute("BEGIN IMMEDIATE")
            yield db
            if db.in_transaction:
                db.execute("COMMIT")

    def _prepare(self) -> None:
        """Make file, key and mark where they do not exist."""
        self.path.touch(mode=0o600)
        # No write-ahead log: switching to it does not wait for another agent that does the same.
        with contextlib.closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                db.execute(statement)
            if not db.execute("SELECT 1 FROM facts WHERE name = 'scope'").fetchone():
                key = PrivateKey.generate()
                _write_key(self.key_file, bytes(key).hex())
                facts = {
                    "scope": f"manual-{secrets.token_hex(16)}",
                    "public_key": bytes(key.public_key).hex(),
                }
                db.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
            db.execute("COMMIT")
        self._ready = True


def _write_key(path: Path, text: str) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(number, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(text + "\n")


def _fact(db: sqlite3.Connection, name: str) -> str:
    return str(db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])


def _find(db: sqlite3.Connection, where: str, *values: object) -> tuple[Request, ...]:
    names = tuple(Request.__dataclass_fields__)
    query = f"SELECT {', '.join(names)} FROM requests WHERE {where} ORDER BY id"  # noqa: S608
    rows = [dict(zip(names, row, strict=True)) for row in db.execute(query, values)]
    return tuple(
        Request(**{**row, "step": Step(row["step"]), "told": bool(row["told"])}) for row in rows
    )


def _newest(db: sqlite3.Connection, contract: str) -> Request:
    found = _find(db, "contract = ?", contract)
    if not found:
        raise NotFound(f"nobody asked for a machine for {contract}; see: dc-agent manual list")
    return found[-1]


def _wanted(spec: InstanceSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "hostname": spec.hostname,
        "image": spec.image,
        "cpu_milli": spec.cpu_milli,
        "memory_mib": spec.memory_mib,
        "disk_gib": spec.disk_gib,
        "user": spec.user,
        "ssh_keys": [key.line() for key in spec.ssh_keys],
        "management_key": spec.management_key.line() if spec.management_key else "",
        "user_data": spec.user_data,
        "settings": dict(spec.settings),
    }

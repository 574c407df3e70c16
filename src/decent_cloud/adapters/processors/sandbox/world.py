"""The sandbox's outside world: one SQLite file with every charge, refund and fault, shared by all processes."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.money import Asset, Money

_SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, external TEXT NOT NULL UNIQUE, instrument TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, asset TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS refunds (key TEXT PRIMARY KEY, external TEXT NOT NULL UNIQUE, charge TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, asset TEXT NOT NULL, refused TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS faults (verb TEXT PRIMARY KEY, effect TEXT NOT NULL, left INTEGER NOT NULL) STRICT;
"""


class Effect(StrEnum):
    """How a call goes wrong."""

    ANSWER_LOST = "answer_lost"  # written, then no answer
    TIMEOUT = "timeout"  # nothing written, no answer
    ERROR = "error"  # nothing written, a 500


class Verb(StrEnum):
    """Which call goes wrong."""

    CHARGE = "charge"
    READ_CHARGE = "read_charge"
    REFUND = "refund"
    READ_REFUND = "read_refund"


@dataclass(frozen=True, slots=True)
class StoredCharge:
    """A charge as the world keeps it; its state follows from card and age."""

    key: str
    external: str
    instrument: str
    asked: Money
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredRefund:
    """A refund as the world keeps it; `refused` says why it failed, empty if it was paid."""

    key: str
    external: str
    charge: str
    amount: Money
    refused: str
    at_ms: int


class World:
    """The file. One instance belongs to one thread; any number of processes may open it."""

    def __init__(self, path: Path) -> None:
        # Outlives a killed process, not a power cut: nothing real depends on it.
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def charge(self, key: str, instrument: str, asked: Money, now_ms: int) -> StoredCharge:
        """Make a charge, or return the one made under the key; Conflict if that asked for something else."""
        with self._writing():
            self._db.execute(
                "INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (key, _external("ch", key), instrument, asked.amount_minor, asked.asset, now_ms),
            )
            stored = self.read_charge(key)
        if stored is None or (stored.instrument, stored.asked) != (instrument, asked):
            raise Conflict("this key was used for another charge", key=key)
        return stored

    def read_charge(self, key: str) -> StoredCharge | None:
        """Return the charge made under a key."""
        rows = self._db.execute("SELECT * FROM charges WHERE key = ?", (key,)).fetchall()
        return _charge(rows[0]) if rows else None

    def instrument_of(self, external: str) -> str:
        """Return the card that a charge was made with, empty if there is no such charge."""
        sql = "SELECT instrument FROM charges WHERE external = ?"
        row = self._db.execute(sql, (external,)).fetchone()
        return str(row[0]) if row else ""

    def refund(
        self, key: str, charge: str, amount: Money, now_ms: int, refused: str
    ) -> StoredRefund:
        """Make a refund, or return the one made under the key; never more than the charge took."""
        with self._writing():
            why = refused or self._too_much(charge, amount)
            self._db.execute(
                "INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (key, _external("re", key), charge, amount.amount_minor, amount.asset, why, now_ms),
            )
            stored = self.read_refund(key)
        if stored is None or (stored.charge, stored.amount) != (charge, amount):
            raise Conflict("this key was used for another refund", key=key)
        return stored

    def read_refund(self, key: str) -> StoredRefund | None:
        """Return the refund made under a key."""
        rows = self._db.execute("SELECT * FROM refunds WHERE key = ?", (key,)).fetchall()
        return _refund(rows[0]) if rows else None

    def charges(self) -> tuple[StoredCharge, ...]:
        """Return every charge ever made, oldest first."""
        rows = self._db.execute("SELECT * FROM charges ORDER BY rowid").fetchall()
        return tuple(_charge(row) for row in rows)

    def refunds(self) -> tuple[StoredRefund, ...]:
        """Return every refund ever asked for, oldest first."""
        rows = self._db.execute("SELECT * FROM refunds ORDER BY rowid").fetchall()
        return tuple(_refund(row) for row in rows)

    def set_fault(self, verb: Verb, effect: Effect, times: int) -> None:
        """Make the next calls of a verb go wrong, from any process; 0 times takes the fault away."""
        with self._writing():
            self._db.execute(
                "INSERT INTO faults VALUES (?, ?, ?) ON CONFLICT (verb)"
                " DO UPDATE SET effect = excluded.effect, left = excluded.left",
                (verb, effect, times),
            )

    def take_fault(self, verb: Verb) -> Effect | None:
        """Use one fault up, if one is set for this verb."""
        if not self._db.execute("SELECT 1 FROM faults WHERE left > 0").fetchone():
            return None
        rows = self._db.execute(
            "UPDATE faults SET left = left - 1 WHERE verb = ? AND left > 0 RETURNING effect",
            (verb,),
        ).fetchall()
        return Effect(rows[0][0]) if rows else None

    def _too_much(self, charge: str, amount: Money) -> str:
        taken = self._db.execute(
            "SELECT amount_minor FROM charges WHERE external = ? AND asset = ?",
            (charge, amount.asset),
        ).fetchone()
        if taken is None:
            return "there is no such charge"
        (back,) = self._db.execute(
            "SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE charge = ? AND refused = ''",
            (charge,),
        ).fetchone()
        return "more than was taken" if back + amount.amount_minor > taken[0] else ""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def break_next(path: Path, verb: Verb, effect: Effect, times: int = 1) -> None:
    """Set a fault in a world's file from outside the server's process."""
    with closing(World(path)) as world:
        world.set_fault(verb, effect, times)


def _external(prefix: str, key: str) -> str:
    return f"sandbox_{prefix}_{hashlib.sha256(key.encode()).hexdigest()[:20]}"


def _charge(row: tuple[Any, ...]) -> StoredCharge:
    key, external, instrument, amount_minor, asset, at_ms = row
    return StoredCharge(key, external, instrument, Money(amount_minor, Asset(asset)), at_ms)


def _refund(row: tuple[Any, ...]) -> StoredRefund:
    key, external, charge, amount_minor, asset, refused, at_ms = row
    return StoredRefund(key, external, charge, Money(amount_minor, Asset(asset)), refused, at_ms)

"""What a database's refusal means in our words: the one place that reads the drivers' error codes."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError

from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.kernel.errors import AlreadyExists, Conflict, DecentError, Internal, TryLater

FLOOR = "ck_balances_floor"
BOOKED_BEFORE = "transfers: this id was booked before"

_TAKEN = {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"}
_NO_ROOM = "SQLITE_FULL"
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_UNREADABLE = ("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
_RERUN = {"40001", "40P01"}  # serialization failure, deadlock
_MADE_ALREADY = {"42P07", "42710", "42723"}  # a table, a guard, a function
# Idle too long, disk full, too many connections, lock timeout, I/O error; then connection and operator classes.
_LATER = {"25P03", "53100", "53200", "53300", "55P03", "58030"}
_LATER_CLASSES = ("08", "57")


class WrongSchema(Internal):
    """The database is not what this program needs: tables or guards are missing, or the file is damaged."""


def translated(error: BaseException) -> BaseException:
    """Return the error of ours that a driver's error means, or the error itself if it means none."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause) or error
    if isinstance(cause, psycopg.Error):
        return _of_postgres(cause) or error
    return error


def wants_rerun(error: BaseException) -> bool:
    """Tell whether the database asks to run the same unit again."""
    return isinstance(error, psycopg.Error) and error.sqlstate in _RERUN


def _of_sqlite(error: sqlite3.Error) -> DecentError | None:
    name: str = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name in _TAKEN or BOOKED_BEFORE in text:
        return AlreadyExists()
    if FLOOR in text:
        return Overdrawn()
    if name == _NO_ROOM:
        return TryLater("the disk is full; nothing was changed")
    if name.startswith(_BUSY):
        return TryLater("the database is busy; nothing was changed")
    if name.startswith(_UNREADABLE):
        return TryLater(f"the database file cannot be read or written ({name.lower()})")
    if name.startswith(_DAMAGED):
        return WrongSchema("the file is damaged or no database: restore a backup")
    if isinstance(error, sqlite3.IntegrityError):
        return Internal(f"the database refused a row: {text}")
    return None


def _of_postgres(error: psycopg.Error) -> DecentError | None:
    state = error.sqlstate or ""
    name = error.diag.constraint_name or ""
    if state in _RERUN:
        return None
    if state == "23505":
        return AlreadyExists()
    if state in _MADE_ALREADY:
        return Conflict(f"already exists: {error.diag.message_primary}")
    if state == "23514" and name == FLOOR:
        return Overdrawn()
    if state.startswith("23"):
        return Internal(f"the database refused a row: {name or state}")
    if state in _LATER or state.startswith(_LATER_CLASSES):
        return TryLater("the database cannot take this now; nothing was changed")
    if not state and isinstance(error, psycopg.OperationalError):
        return TryLater("the database cannot be reached")
    return None

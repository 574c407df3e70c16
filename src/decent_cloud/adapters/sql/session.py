"""One open transaction: runs statements written once for both engines, and remembers what it touched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from decent_cloud.adapters.sql.errors import translated
from decent_cloud.app.ports.unit_of_work import Topic

Params = Mapping[str, object]
Row = Sequence[Any]

_NAME = re.compile(r"(?<!:):([a-z][a-z0-9_]*)")


class Dialect(StrEnum):
    """The engines that this adapter knows."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Session:
    """Statements name their parameters `:like_this`; a driver's cursor runs them without further layers.

    That costs a third of what a Core statement does (docs/decisions/0002-sync-core.md).
    """

    __slots__ = ("_cursor", "_events", "dialect", "firm", "topics", "writing")

    def __init__(self, cursor: Any, dialect: Dialect, *, writing: bool) -> None:
        """Take a driver's cursor; only a session for writing can lock what it reads."""
        self._cursor = cursor
        self.dialect = dialect
        self.writing = writing
        self.topics: set[Topic] = set()
        self._events = 0
        self.firm = False

    def begin(self, *, firm: bool = False) -> None:
        """Forget what the transaction before touched; a firm one locks every record that it gets by key."""
        self.topics = set()
        self._events = 0
        self.firm = firm

    @property
    def postgres(self) -> bool:
        """Whether this is PostgreSQL, where the two engines' words differ."""
        return self.dialect is Dialect.POSTGRESQL

    def run(self, sql: str, params: Params) -> int:
        """Run a statement and return how many rows it touched."""
        self._execute(sql, params)
        return int(self._cursor.rowcount)

    def rows(self, sql: str, params: Params) -> list[Row]:
        """Run a statement and return its rows."""
        self._execute(sql, params)
        found: list[Row] = self._cursor.fetchall()
        return found

    def row(self, sql: str, params: Params) -> Row | None:
        """Run a statement and return its only row."""
        self._execute(sql, params)
        found: list[Row] = self._cursor.fetchall()
        return found[0] if found else None

    def number(self, sql: str, params: Params) -> int:
        """Run a statement that returns one number; none and NULL are 0."""
        found = self.row(sql, params)
        return int(found[0] or 0) if found else 0

    def lock(self, *, always: bool = False) -> str:
        """Return what ends a SELECT of one record so that no other transaction changes it before our end.

        Nothing on SQLite, which has one writer. On PostgreSQL units about that record then take turns.
        """
        wanted = self.postgres and self.writing and (always or self.firm)
        return " FOR NO KEY UPDATE" if wanted else ""

    def touched(self, topic: Topic) -> None:
        """Wake the topic's listeners once this transaction is committed."""
        self.topics.add(topic)

    def next_event(self) -> int:
        """Return the next event's place in this transaction, from 0."""
        self._events += 1
        return self._events - 1

    def _execute(self, sql: str, params: Params) -> None:
        try:
            self._cursor.execute(_for_psycopg(sql) if self.postgres else sql, params)
        except Exception as error:
            ours = translated(error)
            if ours is error:
                raise
            raise ours from error


def among(column: str, values: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Return `column IN (...)` and its parameters; one value or more."""
    names = [f"{column}_{number}" for number in range(len(values))]
    listed = ", ".join(f":{name}" for name in names)
    return f"{column} IN ({listed})", dict(zip(names, values, strict=True))


@cache
def _for_psycopg(sql: str) -> str:
    return _NAME.sub(r"%(\1)s", sql.replace("%", "%%"))

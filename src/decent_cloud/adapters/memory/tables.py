"""Dictionaries that can be rolled back: every change is journalled until the unit of work commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from decent_cloud.app.ports.unit_of_work import Topic
from decent_cloud.kernel.errors import AlreadyExists, Internal, StaleVersion
from decent_cloud.kernel.paging import Page, PageRequest

R = TypeVar("R")
V = TypeVar("V", bound="Versioned")
Key = tuple[object, ...]


class Versioned(Protocol):
    """A record that is replaced by compare-and-swap; a frozen dataclass."""

    @property
    def version(self) -> int:
        """The version that was read."""
        ...


class Journal:
    """What one unit of work did, newest last, and which topics it touched."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.topics: set[Topic] = set()
        self.writing = False

    def begin(self, *, writing: bool) -> None:
        """Start a unit; one that only reads may not change anything."""
        self._undo.clear()
        self.topics = set()
        self.writing = writing

    def changed(self, undo: Callable[[], None]) -> None:
        """Remember how to take a change back."""
        if not self.writing:
            raise Internal("a reading unit of work tried to write")
        self._undo.append(undo)

    def roll_back(self) -> None:
        """Take everything back, newest first."""
        while self._undo:
            self._undo.pop()()


class Table(Generic[R]):
    """Records by key, in the order of their first insertion."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[Key, R] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._rows.values()))

    def get(self, *key: object) -> R | None:
        """Return the record of a key."""
        return self._rows.get(key)

    def add(self, record: R, *key: object) -> None:
        """Insert; AlreadyExists if the key is taken."""
        if key in self._rows:
            raise AlreadyExists
        self.put(record, *key)

    def put(self, record: R, *key: object) -> None:
        """Insert or replace."""
        before = self._rows.get(key)
        there = key in self._rows

        def undo() -> None:
            if there:
                self._rows[key] = before  # type: ignore[assignment]
            else:
                del self._rows[key]

        self._journal.changed(undo)
        self._rows[key] = record

    def remove(self, *key: object) -> None:
        """Delete what is there."""
        before = dict(self._rows)

        def undo() -> None:
            self._rows = before

        self._journal.changed(undo)
        self._rows = {other: row for other, row in self._rows.items() if other != key}

    def remove_where(self, condition: Callable[[R], bool]) -> int:
        """Delete every record that fits; returns how many."""
        gone = [key for key, row in self._rows.items() if condition(row)]
        for key in gone:
            self.remove(*key)
        return len(gone)

    def save(self, record: Any, *key: object) -> None:
        """Replace a record whose stored version is the one it carries; the stored one becomes one more."""
        stored: Any = self._rows.get(key)
        if stored is None or stored.version != record.version:
            raise StaleVersion(record=type(record).__name__)
        self.put(replace(record, version=record.version + 1), *key)

    def save_or_add(self, record: Any, *key: object) -> None:
        """Replace as `save` does; version 1 is inserted if nothing is there."""
        if key not in self._rows and record.version == 1:
            self.put(record, *key)
        else:
            self.save(record, *key)


def newest_first(rows: Iterator[R], page: PageRequest) -> Page[R]:
    """Return a page by id, newest first."""
    ordered = sorted(rows, key=_id, reverse=True)
    return paged([row for row in ordered if not page.cursor or _id(row) < page.cursor], page.limit)


def paged(rows: list[R], limit: int) -> Page[R]:
    """Cut a page from the front of ordered rows."""
    items = tuple(rows[:limit])
    return Page(items, _id(items[-1]) if len(rows) > limit and items else "")


def _id(row: Any) -> str:
    return str(row.id)

"""Keyset pages: a stable order by a text key, an opaque cursor, a bounded limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: rows after `cursor` (exclusive, a record's id), at most `limit`."""

    cursor: str = ""
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor of the next page, empty at the end."""

    items: tuple[T, ...]
    next: str = ""

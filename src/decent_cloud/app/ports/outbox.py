"""Events written with the change that caused them, read by streams after the commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. `stream` is `pool/<id>`, `contract/<id>` or `account/<id>`; `seq` is
    given at commit.
    """

    stream: str
    kind: str
    subject: str
    data: Mapping[str, str]
    at_ms: int
    seq: int = 0


class Outbox(Protocol):
    """The event log."""

    def append(self, event: Event) -> None:
        """Add an event to this transaction."""
        ...

    def read(self, after_seq: int, limit: int) -> tuple[Event, ...]:
        """Return events of all streams after a sequence number, in order."""
        ...

    def read_stream(self, stream: str, after_seq: int, limit: int) -> tuple[Event, ...]:
        """Return events of one stream after a sequence number, in order."""
        ...

    def last_seq(self) -> int:
        """Return the highest sequence number, 0 if there is none."""
        ...

    def drop(self, before_ms: int) -> int:
        """Remove events older than that; returns how many."""
        ...

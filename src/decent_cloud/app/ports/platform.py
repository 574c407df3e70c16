"""What the platform knows of itself: mode stamp, id, and when it last ticked."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.kernel.status import ServerMode


class PlatformStore(Protocol):
    """One row per fact."""

    def mode(self) -> ServerMode | None:
        """Return the mode this database was made for, None if it is new."""
        ...

    def platform_id(self) -> str:
        """Return the id of the platform key this database belongs to, empty if it is new."""
        ...

    def stamp(self, mode: ServerMode, platform_id: str) -> None:
        """Write both, once; Conflict if others are there."""
        ...

    def last_tick_ms(self) -> int:
        """Return when a server last ticked, 0 if never."""
        ...

    def tick(self, last_ms: int, now_ms: int) -> bool:
        """Move the tick from `last_ms` to `now_ms`; False if another process moved it first."""
        ...

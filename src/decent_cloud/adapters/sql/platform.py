"""What the platform knows of itself in SQL: one row per fact."""

from __future__ import annotations

from decent_cloud.adapters.sql.session import Session
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.status import ServerMode

_MODE = "mode"
_PLATFORM_ID = "platform_id"
_LAST_TICK = "last_tick_ms"
_FIRST = "INSERT INTO platform (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING"
_MOVE = "UPDATE platform SET value = :value WHERE name = :name AND value = :last"


class SqlPlatform:
    """Keeps the port `PlatformStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def mode(self) -> ServerMode | None:
        value = self._fact(_MODE)
        return ServerMode(value) if value else None

    def platform_id(self) -> str:
        return self._fact(_PLATFORM_ID)

    def stamp(self, mode: ServerMode, platform_id: str) -> None:
        for name, value in ((_MODE, mode.value), (_PLATFORM_ID, platform_id)):
            self._session.run(_FIRST, {"name": name, "value": value})
            if self._fact(name) != value:
                raise Conflict(f"this database belongs to another platform: its {name} differs")

    def last_tick_ms(self) -> int:
        return int(self._fact(_LAST_TICK) or 0)

    def tick(self, last_ms: int, now_ms: int) -> bool:
        params = {"name": _LAST_TICK, "value": str(now_ms), "last": str(last_ms)}
        if last_ms == 0:
            return self._session.run(_FIRST, params) == 1
        return self._session.run(_MOVE, params) == 1

    def _fact(self, name: str) -> str:
        row = self._session.row("SELECT value FROM platform WHERE name = :name", {"name": name})
        return str(row[0]) if row else ""

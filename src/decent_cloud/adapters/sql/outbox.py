"""The event log in SQL, read in an order in which no event is ever passed by.

On SQLite the one writer hands out `seq`. On PostgreSQL transactions commit in another order than they draw numbers,
so `seq` is made of the transaction's own number (times 1024, plus the event's place in it), and readers stop before
the oldest transaction that still runs: whatever commits later has a higher `seq` than all that was ever shown.
"""

from __future__ import annotations

from decent_cloud.adapters.sql.session import Row, Session
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import Topic
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.errors import Internal

# A dump restored into a new cluster starts transaction numbers again; migrate() then raises this base.
BASE = "coalesce((SELECT CAST(value AS bigint) FROM platform WHERE name = 'outbox_base'), 0)"
EVENTS_A_TRANSACTION = 1024

_HORIZON = (
    f"{BASE} + CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
    f" * {EVENTS_A_TRANSACTION}"
)
_APPEND = (
    "INSERT INTO outbox (seq, stream, kind, subject, data, at_ms)"
    " VALUES ({seq}, :stream, :kind, :subject, :data, :at_ms)"
)
_APPEND_SQLITE = _APPEND.format(seq="NULL")
_APPEND_POSTGRES = _APPEND.format(
    seq=f"{BASE} + CAST(CAST(pg_current_xact_id() AS text) AS bigint) * {EVENTS_A_TRANSACTION}"
    " + CAST(:place AS bigint)"
)
_READ = "SELECT stream, kind, subject, data, at_ms, seq FROM outbox WHERE seq > :after"


class SqlOutbox:
    """Keeps the port `Outbox`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, event: Event) -> None:
        place = self._session.next_event()
        if place >= EVENTS_A_TRANSACTION:
            raise Internal("too many events in one transaction", most=EVENTS_A_TRANSACTION)
        params = {
            "place": place,
            "stream": event.stream,
            "kind": event.kind,
            "subject": event.subject,
            "data": to_json(event.data).decode(),
            "at_ms": event.at_ms,
        }
        self._session.run(_APPEND_POSTGRES if self._session.postgres else _APPEND_SQLITE, params)
        self._session.touched(Topic.OUTBOX)

    def read(self, after_seq: int, limit: int) -> tuple[Event, ...]:
        sql = f"{_READ}{self._settled()} ORDER BY seq LIMIT :limit"
        return _events(self._session.rows(sql, {"after": after_seq, "limit": limit}))

    def read_stream(self, stream: str, after_seq: int, limit: int) -> tuple[Event, ...]:
        sql = f"{_READ} AND stream = :stream{self._settled()} ORDER BY seq LIMIT :limit"
        params = {"after": after_seq, "stream": stream, "limit": limit}
        return _events(self._session.rows(sql, params))

    def last_seq(self) -> int:
        return self._session.number(
            f"SELECT max(seq) FROM outbox WHERE seq > 0{self._settled()}", {}
        )

    def drop(self, before_ms: int) -> int:
        # The newest stays, so that numbers never start again.
        sql = (
            "DELETE FROM outbox WHERE at_ms < :before AND seq < (SELECT max(seq) FROM outbox)"
            + self._settled()
        )
        return self._session.run(sql, {"before": before_ms})

    def _settled(self) -> str:
        return f" AND seq < {_HORIZON}" if self._session.postgres else ""


def _events(rows: list[Row]) -> tuple[Event, ...]:
    return tuple(
        Event(stream, kind, subject, from_json(data, dict[str, str]), at_ms, seq)
        for stream, kind, subject, data, at_ms, seq in rows
    )

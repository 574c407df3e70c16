"""The only place that reads the wall clock; everywhere else time is an argument in milliseconds
since 1970 UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Clock(Protocol):
    """Whoever knows what time it is."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000


def rfc3339(at_ms: int) -> str:
    """Render an instant as RFC 3339 UTC with milliseconds, as every answer of the API shows it."""
    whole, ms = divmod(at_ms, 1_000)
    moment = datetime.fromtimestamp(whole, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Read an RFC 3339 instant with an offset; raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without an offset: {text!r}")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000 + moment.microsecond // 1_000

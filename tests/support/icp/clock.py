"""A clock that moves when a test says so."""

from __future__ import annotations

from dataclasses import dataclass

START_MS = 1_795_000_000_000


@dataclass
class HandClock:
    """Starts at a fixed instant."""

    at_ms: int = START_MS

    def now_ms(self) -> int:
        return self.at_ms

    @property
    def now_ns(self) -> int:
        return self.at_ms * 1_000_000

    def forward_ms(self, by_ms: int) -> None:
        self.at_ms += by_ms

    def pause(self, seconds: float) -> None:
        """Sleep, as the agent does between two looks."""
        self.at_ms += int(seconds * 1_000)

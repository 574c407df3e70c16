"""A clock that a test can turn forward; everything else about it is the machine's."""

from __future__ import annotations

from decent_cloud.kernel.clock import SystemClock


class TurnedClock:
    """The machine's time plus `ahead_ms`."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self._clock = SystemClock()

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.ahead_ms

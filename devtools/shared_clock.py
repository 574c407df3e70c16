"""A clock that several processes share and a test can push forward: the machine's, plus what a file says."""

from __future__ import annotations

import mmap
from pathlib import Path

from decent_cloud.kernel.clock import SystemClock

_BYTES = 8


class SharedClock:
    """Whoever opens the same file sees the same time; a push is seen at once by all of them."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _BYTES)
        self._machine = SystemClock()

    @property
    def ahead_ms(self) -> int:
        """How far this clock was pushed ahead of the machine's."""
        return int.from_bytes(self._memory[:_BYTES], "little", signed=True)

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        return self._machine.now_ms() + self.ahead_ms

    def push(self, ms: int) -> None:
        """Move time forward for everybody."""
        self._memory[:_BYTES] = (self.ahead_ms + ms).to_bytes(_BYTES, "little", signed=True)

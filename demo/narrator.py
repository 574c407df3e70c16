"""Says each step with its time, and which step failed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator


class StepFailed(Exception):
    """A step did not show what it had to show."""


class Narrator:
    """Numbers the steps, times them, remembers the one under way."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._number = 0
        self.current = "start"

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and print how long it took."""
        self._number += 1
        self.current = title
        began = time.monotonic()
        print(f"{self._number:>2}. {title}", flush=True)
        yield
        print(f"      {time.monotonic() - began:.2f} s", flush=True)

    def say(self, text: str) -> None:
        """Print what was seen, indented under the step."""
        for line in text.rstrip().splitlines():
            print(f"      {line}", flush=True)

    def elapsed_s(self) -> float:
        """Return seconds since the start."""
        return time.monotonic() - self._began

    def failed(self, error: BaseException) -> None:
        """Name the step that failed and why."""
        print(f"demo: FAILED at step {self._number} ({self.current}): {error}", file=sys.stderr)

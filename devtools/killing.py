"""The step hook of programs under test: writes every step down, and dies or freezes at a chosen one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class StepHook:
    """Called with each step's name, which it writes down before anything else.

    `kill_at` and `freeze_at` are `name` or `name#n`: SIGKILL or SIGSTOP as it comes for the n-th time.
    """

    def __init__(self, log: Path, kill_at: str = "", freeze_at: str = "") -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kill_at = _at(kill_at)
        self._freeze_at = _at(freeze_at)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        """Note the step, and act if it is the one."""
        with self._lock:
            os.write(self._log, f"{step} {time.time_ns()}\n".encode())
            self._seen[step] += 1
            now = (step, self._seen[step])
        if now == self._kill_at:
            self._signal(signal.SIGKILL)
        if now == self._freeze_at:
            self._signal(signal.SIGSTOP)

    @staticmethod
    def _signal(number: signal.Signals) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.1)  # it comes in a moment: nothing of the next step may happen before


def _at(text: str) -> tuple[str, int]:
    name, _, times = text.partition("#")
    return name, int(times or 1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A step and when it was passed, on the machine's clock."""

    step: str
    at_ms: float


def moments_in(log: Path) -> tuple[Moment, ...]:
    """Return the steps that a hook wrote down, in order, with their times."""
    if not log.exists():
        return ()
    lines = (line.rsplit(" ", 1) for line in log.read_text().splitlines())
    return tuple(Moment(step, int(at_ns) / 1_000_000) for step, at_ns in lines)


def steps_in(log: Path) -> tuple[str, ...]:
    """Return the steps that a hook wrote down, in order."""
    return tuple(each.step for each in moments_in(log))

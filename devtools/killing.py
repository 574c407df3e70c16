"""The step hook of programs under test: writes every step down, and dies by SIGKILL at a chosen one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from pathlib import Path


class StepHook:
    """Called with each step's name. `kill_at` is `name` or `name#n`: die as it comes for the n-th time.

    Each name is written before anything else, so the file tells also the step that the program died at.
    """

    def __init__(self, log: Path, kill_at: str = "") -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        name, _, times = kill_at.partition("#")
        self._kill_at = name
        self._times = int(times or 1)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        """Note the step, and die if it is the one."""
        os.write(self._log, f"{step}\n".encode())
        if step != self._kill_at:
            return
        with self._lock:
            self._seen[step] += 1
            due = self._seen[step] == self._times
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()  # another thread's signal may take a moment to arrive


def steps_in(log: Path) -> tuple[str, ...]:
    """Return the steps that a hook wrote down, in order."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(log.read_text().splitlines())
    return ()

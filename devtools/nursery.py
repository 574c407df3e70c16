"""Starts programs in a few milliseconds: a process that has everything imported, and forks them from itself.

A program that is started here is the same code as from a command line; only its imports are done already.
When whoever asked for the programs is gone, they are killed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from devtools import agent_main, server_main
from devtools.hosts import enter_network

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {"server": server_main.main, "agent": agent_main.main}


class Nursery:
    """The asking side; safe for several threads."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "devtools.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._condition = threading.Condition()
        self._ended: dict[int, int] = {}
        self._started: list[int] = []
        self._asking = threading.Lock()
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def start(self, program: str, spec: Path, log: Path, network: str = "") -> int:
        """Start a program with its spec file and return its process id; its output is added to `log`.

        `network` is the file of a network namespace to live in.
        """
        with self._asking:
            asked = {"program": program, "spec": str(spec), "log": str(log), "network": network}
            if self._process.stdin is None:
                raise AssertionError
            self._process.stdin.write(json.dumps(asked) + "\n")
            with self._condition:
                if not self._condition.wait_for(lambda: self._started, 30):
                    raise AssertionError("the nursery does not answer")
                return self._started.pop()

    def status(self, pid: int, timeout_s: float = 0.0) -> int | None:
        """Return how a program ended (minus the signal's number if by one), None while it runs."""
        with self._condition:
            self._condition.wait_for(lambda: pid in self._ended, timeout_s)
            return self._ended.get(pid)

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            what, *numbers = line.split()
            with self._condition:
                if what == "started":
                    self._started.append(int(numbers[0]))
                else:
                    self._ended[int(numbers[0])] = int(numbers[1])
                self._condition.notify_all()


_FIRST_USE = threading.Lock()


def nursery() -> Nursery:
    """Return this process's nursery, made on first use; it ends with this process."""
    with _FIRST_USE:  # a cache alone lets two threads make one each
        return _only_nursery()


@functools.cache
def _only_nursery() -> Nursery:
    return Nursery()


def _grow(line: str) -> None:
    """Become a program, in the child."""
    asked = json.loads(line)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.setsid()
    if asked["network"]:
        enter_network(asked["network"])
    PROGRAMS[asked["program"]](Path(asked["spec"]))


def _tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _reap(alive: set[int]) -> None:
    for pid in tuple(alive):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            alive.discard(pid)
            _tell(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


def _serve() -> None:
    alive: set[int] = set()
    rest = b""
    while True:
        _reap(alive)
        if not select.select([0], [], [], 0.005 if alive else 1.0)[0]:
            continue
        got = os.read(0, 65_536)
        if not got:
            break
        *lines, rest = (rest + got).split(b"\n")
        for line in lines:
            pid = os.fork()
            if not pid:
                _grow(line.decode())
                return
            alive.add(pid)
            _tell(f"started {pid}")
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 5
    while alive and time.monotonic() < end:
        with contextlib.suppress(OSError):
            _reap(alive)
        time.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve()

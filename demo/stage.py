"""The programs of the demo as real processes in one scratch folder, started and ended in order."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from demo.narrator import StepFailed

BIN = Path(sys.executable).parent
DECENT = str(BIN / "decent")
DC_AGENT = str(BIN / "dc-agent")

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float = 30.0) -> T:
    """Call `look` until it returns something; fail with `what` after the time limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise StepFailed(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)


@dataclass(slots=True)
class Person:
    """Somebody at a command line, with a home folder and a profile of their own."""

    name: str
    home: Path
    platform: str

    def environment(self) -> Mapping[str, str]:
        """Return the environment of this person's commands."""
        return {**os.environ, "DECENT_HOME": str(self.home), "NO_COLOR": "1"}

    def _command(self, args: tuple[str, ...], *, as_json: bool) -> list[str]:
        flags = ["--json"] if as_json else []
        return [DECENT, "--platform", self.platform, *flags, *args]

    def run(self, *args: str, timeout_s: float = 90.0) -> Any:
        """Run `decent ... --json` and return what it printed."""
        done = subprocess.run(
            self._command(args, as_json=True),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise StepFailed(
                f"`decent {' '.join(args)}` ended with {done.returncode}: {done.stderr.strip()}"
            )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def show(self, *args: str, timeout_s: float = 90.0) -> str:
        """Run `decent ...` as a person would and return its output."""
        done = subprocess.run(
            self._command(args, as_json=False),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise StepFailed(
                f"`decent {' '.join(args)}` ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def start(self, *args: str, log: Path) -> subprocess.Popen[str]:
        """Start a command that goes on in the background; stdout is piped, stderr goes to `log`."""
        return subprocess.Popen(
            self._command(args, as_json=True),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=log.open("a"),
            stdin=subprocess.DEVNULL,
            text=True,
        )


@dataclass(slots=True)
class Stage:
    """All processes of the demo, newest last."""

    folder: Path
    platform_id: str = ""
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def spawn(self, name: str, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start a program; its output goes to `<name>.log` in the scratch folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def log_tail(self, name: str, lines: int = 12) -> str:
        """Return the end of a program's log."""
        path = self.folder / f"{name}.log"
        return (
            "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            if path.exists()
            else ""
        )

    def end(self) -> None:
        """Stop everything in reverse order: politely, then not."""
        for process in reversed(self._running):
            stop(process)
        self._running.clear()


def stop(process: subprocess.Popen[Any], timeout_s: float = 10.0) -> None:
    """Terminate a process and wait; kill it if it does not go."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
        return
    process.kill()
    process.wait(5)

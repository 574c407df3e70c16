"""Programs under test as processes: started, killed, awaited; their output goes to a log file."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from decent_cloud.agent.settings import AgentSettings
from decent_cloud.kernel import codec
from decent_cloud.programs.server_settings import ServerSettings
from devtools.agent_main import AgentSpec
from devtools.killing import Moment, moments_in, steps_in
from devtools.nursery import nursery
from devtools.server_main import ServerSpec

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

T = TypeVar("T")


class TookTooLong(AssertionError):
    """Something that had to happen did not, in the time that it may take."""


class ProgramEnded(AssertionError):
    """A program ended that had to go on."""


def until(what: str, look: Callable[[], T | None], timeout_s: float = 20.0) -> T:
    """Call `look` until it returns something true, and return that."""
    end = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TookTooLong(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.01)


class Program:
    """One program, started any number of times one after another."""

    kind = ""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.pid = 0
        self.network = ""  # the file of the network namespace that it lives in; empty: ours

    def launch(self, spec: Path) -> None:
        """Start it; it must not run already."""
        if self.running:
            raise AssertionError(f"{self.name} runs already")
        self.pid = nursery().start(self.kind, spec, self.log, self.network)

    @property
    def running(self) -> bool:
        return self.pid != 0 and nursery().status(self.pid) is None

    def kill(self) -> None:
        """End it as a crash does."""
        if self.running:
            self._signal(signal.SIGKILL)
            nursery().status(self.pid, STOP_TIMEOUT_S)

    def stop(self) -> int:
        """End it in order and return its exit status."""
        if self.running:
            self._signal(signal.SIGTERM)
        status = nursery().status(self.pid, STOP_TIMEOUT_S)
        if status is None:
            self.kill()
            raise TookTooLong(f"{self.name} did not stop:\n{self.tail()}")
        return status

    def freeze(self) -> None:
        """Let it hang as a machine without CPU does."""
        self._signal(signal.SIGSTOP)

    def wait_frozen(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until its own hook has frozen it."""
        until(f"{self.name} froze", self._stopped, timeout_s)

    def _stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def wait_killed(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until its own hook has killed it."""
        status = nursery().status(self.pid, timeout_s)
        if status is None:
            raise TookTooLong(f"{self.name} did not reach the step to die at:\n{self.tail()}")
        if status != -signal.SIGKILL:
            raise ProgramEnded(f"{self.name} ended by itself ({status}):\n{self.tail()}")

    def check_running(self) -> None:
        if not self.running:
            raise ProgramEnded(f"{self.name} ended:\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class ServerProgram(Program):
    """The platform's server; its address and data stay the same over restarts."""

    kind = "server"

    def __init__(
        self,
        folder: Path,
        settings: ServerSettings,
        clock: Path,
        backends: tuple[Path, ...],
        name: str = "server",
    ) -> None:
        super().__init__(name, folder)
        self.settings = settings
        self.url = f"http://{settings.listen}"
        self.steps_file = folder / f"{name}.steps"
        self._clock = clock
        self._backends = backends
        self._spec = folder / f"{name}.json"
        self._ready = folder / f"{name}.ready"

    def start(self, kill_at: str = "", *, wait: bool = True) -> None:
        """Start it and wait until it answers (or died at the step it had to die at)."""
        spec = ServerSpec(
            settings=self.settings,
            clock=str(self._clock),
            steps=str(self.steps_file),
            ready=str(self._ready),
            backends=tuple(map(str, self._backends)),
            kill_at=kill_at,
        )
        self._spec.write_bytes(codec.to_json(spec))
        self._ready.unlink(missing_ok=True)
        self.launch(self._spec)
        if wait:
            self.wait_ready(may_die=bool(kill_at))

    def wait_ready(self, *, may_die: bool = False) -> None:
        def ready() -> bool:
            if not self.running and not may_die:
                self.check_running()
            return self._ready.exists() or not self.running

        until("the server answers", ready, START_TIMEOUT_S)

    def steps(self) -> tuple[str, ...]:
        """Return every step that its jobs passed, over all runs."""
        return steps_in(self.steps_file)


class AgentProgram(Program):
    """A provider's agent; its key and journal stay the same over restarts."""

    kind = "agent"

    def __init__(self, folder: Path, settings: AgentSettings, clock: Path, name: str) -> None:
        super().__init__(name, folder)
        self.settings = settings
        self.steps_file = folder / f"{name}.steps"
        self._clock = clock
        self._spec = folder / f"{name}.json"
        self._probed = folder / f"{name}.probed"

    def start(
        self,
        kill_at: str = "",
        freeze_at: str = "",
        *,
        stream: bool = True,
        journal_room_pages: int | None = None,
    ) -> None:
        """Start it, to die or freeze at a step if one is named.

        Without the event stream it only polls; with little room its journal finds the disk full.
        """
        spec = AgentSpec(
            settings=self.settings,
            clock=str(self._clock),
            steps=str(self.steps_file),
            kill_at=kill_at,
            freeze_at=freeze_at,
            probed=str(self._probed),
            stream=stream,
            journal_room_pages=journal_room_pages,
        )
        self._spec.write_bytes(codec.to_json(spec))
        self.launch(self._spec)

    def moments(self) -> tuple[Moment, ...]:
        """Return every step that it passed, over all runs, and when."""
        return moments_in(self.steps_file)

    def steps(self) -> tuple[str, ...]:
        """Return every step that it passed, over all runs."""
        return steps_in(self.steps_file)


def free_port() -> int:
    """Return a port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The platform as a process that the crash matrix kills with SIGKILL and starts again; all its checks find an open door.

By itself: `python -m bench.crash_server` waits, with everything imported, for what to serve on standard input,
and ends with whoever holds that open.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.programs.server import Ports, run
from decent_cloud.programs.server_settings import ServerSettings
from devtools.processes import free_port, until
from tests.support.market import OpenDoor

START_TIMEOUT_S = 60


class Asked(msgspec.Struct, frozen=True):
    """What to serve, and the file that says when it answers."""

    settings: ServerSettings
    ready: str


class MortalServer:
    """One platform at one address with one data folder, over any number of deaths."""

    def __init__(self, folder: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self._folder = folder
        self._settings = ServerSettings(
            data=str(folder / "data"),
            listen=address,
            public_origins=(self.url,),
        )
        self._next = self._prepare()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.kill()
        self._next.kill()
        self._next.wait()

    def start(self) -> None:
        """Serve, and have the next process ready for when this one dies."""
        ready = self._folder / "ready"
        ready.unlink(missing_ok=True)
        self._process, self._next = self._next, self._prepare()
        assert self._process.stdin is not None
        asked = Asked(self._settings, str(ready))
        self._process.stdin.write(codec.to_json(asked).decode() + "\n")
        self._process.stdin.flush()
        until("the platform answers", ready.exists, START_TIMEOUT_S)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _prepare(self) -> subprocess.Popen[str]:
        with (self._folder / "server.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bench.crash_server"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
            )


def main() -> None:
    """Serve what the one line on standard input says."""
    line = sys.stdin.readline()
    if not line:
        return
    asked = codec.from_json(line.encode(), Asked)
    threading.Thread(target=_end_with_asker, daemon=True).start()
    run(asked.settings, ready_file=Path(asked.ready), ports=Ports(reach=OpenDoor()))


def _end_with_asker() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()

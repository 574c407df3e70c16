"""The real server as a process whose outside is scripted: `python -m devtools.server_main SPEC.json`.

Clock, reachability and step hook are put in by `programs.server.Ports`; everything else is the product.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from decent_cloud.app.ports.reach import Reached, ReachResult
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.kernel import codec
from decent_cloud.programs.server import Ports, run
from decent_cloud.programs.server_settings import ServerSettings
from devtools.killing import StepHook
from devtools.shared_clock import SharedClock


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run: settings, and the files by which the test steers it. `backends` empty: the real reach."""

    settings: ServerSettings
    clock: str
    steps: str
    ready: str
    backends: tuple[str, ...] = ()
    kill_at: str = ""


class FakeReach:
    """A vantage point on fake clouds: what their files say an SSH client would see."""

    def __init__(self, backends: tuple[Path, ...]) -> None:
        self._backends = [FakeBackend(path) for path in backends]

    async def check(self, host: str, port: int, host_keys: tuple[str, ...]) -> ReachResult:
        """Look the address up in every backend's file."""
        began = time.monotonic()
        seen = [key for each in self._backends if (key := each.host_key_at(host, port))]
        took_ms = int((time.monotonic() - began) * 1_000)
        if not seen:
            return ReachResult(Reached.NO_CONNECTION, "nobody answers", took_ms)
        if not set(seen) & set(host_keys):
            return ReachResult(Reached.WRONG_HOST_KEY, "another host key", took_ms)
        return ReachResult(Reached.OK, "the host key is right", took_ms)


def main(spec_file: Path) -> None:
    """Serve until told to stop, or until the step to die at."""
    spec = codec.from_json(spec_file.read_bytes(), ServerSpec)
    paths = tuple(Path(each) for each in spec.backends)
    ports = Ports(
        clock=SharedClock(Path(spec.clock)),
        reach=FakeReach(paths) if paths else None,
        on_step=StepHook(Path(spec.steps), spec.kill_at),
    )
    run(spec.settings, ready_file=Path(spec.ready), ports=ports)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Where the demo's machines are made: on a Docker engine, or, where none can be had, in sandboxes."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import docker

from decent_cloud.drivers.sandbox import launch
from decent_cloud.drivers.sandbox.driver import SandboxDriver
from decent_cloud.drivers.sandbox.folders import Folder
from decent_cloud.kernel.isolation import TRUSTED_ONLY
from demo.narrator import StepFailed
from devtools.engine import Engine, EngineUnavailable, engine

LABEL_CONTRACT = "dev.decent.contract"
LABEL_PLATFORM = "dev.decent.platform"
PORTS = "first_port = 22100\nlast_port = 22199\n"


class Place(Protocol):
    """What the story needs of a backend beside its driver."""

    driver: str
    title: str  # of the first step
    nothing_left: str  # what is seen at the end

    def look(self) -> str:
        """See that it works, and say what it is."""
        ...

    def settings(self) -> str:
        """Return the agent's `driver_settings` as TOML."""
        ...

    def machines(self, platform: str) -> list[str]:
        """Return the contract of each machine there, stopped ones included."""
        ...

    def rests(self, platform: str) -> int:
        """Count what else was made for machines and is still there."""
        ...

    def clear(self, platform: str) -> None:
        """Remove what an interrupted run left: this demo's platform's only."""
        ...


@contextlib.contextmanager
def place(folder: Path, asked: str) -> Iterator[Place]:
    """Give what was asked for, `docker` or `sandbox`; with nothing, an engine if there can be one.

    Raises EngineUnavailable if `docker` was asked for and cannot be had.
    """
    with contextlib.ExitStack() as stack:
        why = "as asked for by DEMO_DRIVER"
        if asked != "sandbox":
            try:
                running = stack.enter_context(engine())
            except EngineUnavailable as missing:
                if asked == "docker":
                    raise
                why = f"no Docker engine can be had: {missing}"
            else:
                yield OnDocker(running)
                return
        yield InSandboxes(folder / "sandboxes", why)


class OnDocker:
    """Containers on an engine: one that runs here, or the demo's own."""

    driver = "docker"
    nothing_left = "0 containers, 0 networks of ours"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        whose = "its own, in a scratch folder" if engine.owned else "the one that runs here already"
        self.title = f"A container engine ({whose})"

    def look(self) -> str:
        return self._engine.url

    def settings(self) -> str:
        return f'engine = "{self._engine.url}"\nbind = "127.0.0.1"\n{PORTS}'

    def machines(self, platform: str) -> list[str]:
        return [box.labels[LABEL_CONTRACT] for box in self._containers(platform)]

    def rests(self, platform: str) -> int:
        return len(self._networks(platform))

    def clear(self, platform: str) -> None:
        for box in self._containers(platform):
            box.remove(force=True, v=True)
        for network in self._networks(platform):
            network.remove()

    def _containers(self, platform: str) -> list[Any]:
        ours = {"label": [f"{LABEL_PLATFORM}={platform}", LABEL_CONTRACT]}
        with self._client() as client:
            found: list[Any] = client.containers.list(all=True, filters=ours, ignore_removed=True)
        return found

    def _networks(self, platform: str) -> list[Any]:
        with self._client() as client:
            found: list[Any] = client.networks.list(
                filters={"label": f"{LABEL_PLATFORM}={platform}"}
            )
        return found

    def _client(self) -> contextlib.closing[Any]:
        return contextlib.closing(docker.DockerClient(base_url=self._engine.url, timeout=20))


@dataclass(slots=True)
class InSandboxes:
    """Processes of this host in a scratch folder of the demo's."""

    folder: Path
    why: str
    driver: str = "sandbox"
    title: str = "Machines are sandboxes: processes in namespaces of this host, without an engine"
    nothing_left: str = "0 machines, 0 processes of ours"

    def look(self) -> str:
        probe = SandboxDriver.from_settings({"folder": str(self.folder)}, "demo").probe()
        for check in probe.checks:
            if not check.passed:
                raise StepFailed(f"{self.why}; nor sandboxes: {check.detail}; {check.cure}")
        return f"{self.why}\n{TRUSTED_ONLY}: no network inside, memory limited per process"

    def settings(self) -> str:
        return f'folder = "{self.folder}"\nbind = "127.0.0.1"\n{PORTS}'

    def machines(self, platform: str) -> list[str]:
        found = []
        for folder in self._folders():
            with contextlib.suppress(OSError):  # on its way out
                record = json.loads((folder.path / "machine.json").read_text())
                if record["platform"] == platform:
                    found.append(record["contract"])
        return found

    def rests(self, platform: str) -> int:
        return sum(_names_us(each, str(self.folder)) for each in Path("/proc").glob("[0-9]*"))

    def clear(self, platform: str) -> None:
        for folder in self._folders():
            launch.end(folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Folder]:
        return [Folder(each) for each in self.folder.glob("machines/*")]


def _names_us(process: Path, folder: str) -> bool:
    """Tell whether a process is a machine's: its output goes to a file in the folder."""
    with contextlib.suppress(OSError):
        return str((process / "fd" / "2").readlink()).startswith(folder)
    return False

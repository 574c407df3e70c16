"""An engine of our own leaves the machine as it found it, however its user ends."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from devtools.engine import Engine, EngineBusy, EngineUnavailable, clean, engine

ROOT = Path(__file__).parents[2]
NAMES_MISSING = [
    each for each in ("dockerd", "ip", "iptables", "nsenter") if not shutil.which(each)
]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="starting an engine needs root"),
    pytest.mark.skipif(bool(NAMES_MISSING), reason=f"not installed: {', '.join(NAMES_MISSING)}"),
]

USE = """
import sys, time
from pathlib import Path
from devtools.engine import engine
with engine(Path(sys.argv[1]), own=True) as made:
    print(made.url, flush=True)
    time.sleep(float(sys.argv[2]))
"""
CLEAN = "import sys; from pathlib import Path; from devtools.engine import clean; print(clean(Path(sys.argv[1])))"
LOOK = "from devtools.netstate import capture; print(capture())"


class Namespace:
    """A network of its own, so that the engine under test and the session's never meet."""

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        line = [
            "nsenter",
            f"--net=/run/netns/{self.name}",
            sys.executable,
            "-c",
            program,
            *arguments,
        ]
        return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def look(self) -> str:
        with self.start(LOOK) as looking:
            return looking.communicate(timeout=60)[0]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    name = f"deng{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield Namespace(name)
    subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def scratch() -> Iterator[Path]:
    path = Path("/var/tmp") / f"decent-{secrets.token_hex(3)}"
    yield path
    clean(path)
    shutil.rmtree(path, ignore_errors=True)


def wait_until_clean(scratch: Path) -> None:
    end = time.monotonic() + 60
    while scratch.exists():
        assert time.monotonic() < end, "the guard did not clean up"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "number",
    [None, signal.SIGTERM, signal.SIGINT, signal.SIGKILL],
    ids=lambda n: getattr(n, "name", "end"),
)
def test_rules_switches_and_files_are_as_before_after(
    number: signal.Signals | None, namespace: Namespace, scratch: Path
) -> None:
    before = namespace.look()
    with namespace.start(USE, str(scratch), "0" if number is None else "600") as user:
        assert user.stdout is not None
        assert user.stdout.readline().startswith("unix://")
        if number is not None:
            assert namespace.look() != before
            user.send_signal(number)
        user.wait(60)
    wait_until_clean(scratch)
    assert namespace.look() == before


def test_what_a_run_and_its_guard_left_when_both_were_killed_is_cleaned(
    namespace: Namespace, scratch: Path
) -> None:
    before = namespace.look()
    with namespace.start(USE, str(scratch), "600") as user:
        assert user.stdout is not None
        assert user.stdout.readline().startswith("unix://")
        with pytest.raises(EngineBusy):
            clean(scratch)
        for pid in guards(scratch):
            os.kill(pid, signal.SIGKILL)
        user.kill()
        user.wait(60)
    assert namespace.look() != before
    with namespace.start(CLEAN, str(scratch)) as cleaning:
        assert cleaning.communicate(timeout=60)[0] == "True\n"
    assert namespace.look() == before
    assert not scratch.exists()


def guards(scratch: Path) -> list[int]:
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = each.read_bytes().split(b"\0")
            if b"guard" in words and str(scratch).encode() in words:
                found.append(int(each.parent.name))
    return found


def test_an_engine_of_somebody_else_is_not_ours_to_stop(tmp_path: Path) -> None:
    for act in (Engine("unix:///x", False).stop, Engine("unix:///x", False).hang):
        with pytest.raises(EngineUnavailable, match="not ours"):
            act()


def test_a_folder_that_others_could_have_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    with pytest.raises((EngineUnavailable, FileExistsError)), engine(tmp_path / "link", own=True):
        pass

"""Hosts in networks of their own: apart, joined by cables, and gone when whoever asked for them is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.engine import SCRATCH, EngineUnavailable
from devtools.hosts import HostsUnavailable, enter_network, hosts
from devtools.processes import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = Path("/proc/thread-self/ns/net")
_HOLD = """
import sys, time
from pathlib import Path
from devtools.engine import EngineUnavailable
from devtools.hosts import HostsUnavailable, hosts
try:
    with hosts([Path(sys.argv[1])]) as (network, made):
        print("up", flush=True)
        time.sleep(600)
except (EngineUnavailable, HostsUnavailable) as why:
    print(why, flush=True)
"""


def test_a_cable_is_cut_and_mended_and_the_network_is_left() -> None:
    before = OURS.readlink()
    try:
        with hosts([SCRATCH.with_name(f"{SCRATCH.name}-host1")]) as (_network, (host,)):
            assert OURS.readlink() != before
            assert _answers(host.address)
            host.cut()
            assert not _answers(host.address)
            host.mend()
            until("the cable carries again", lambda: _answers(host.address), 10)
    except (HostsUnavailable, EngineUnavailable) as why:
        pytest.skip(str(why))
    assert OURS.readlink() == before


def test_nothing_is_left_when_whoever_asked_is_killed() -> None:
    folder = SCRATCH.with_name(f"{SCRATCH.name}-host1")
    command = [sys.executable, "-c", _HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        if said != "up":
            pytest.skip(said)
        holder.send_signal(signal.SIGKILL)
    until("the engine's folder is gone", lambda: not folder.exists(), 40)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        enter_network(str(tmp_path / "file"))


def _answers(address: str) -> bool:
    """Tell whether a packet gets there and back: a closed port says so."""
    script = f"import socket; socket.create_connection(({address!r}, 9), 1)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], capture_output=True, text=True, check=False
    )
    return "ConnectionRefusedError" in done.stderr

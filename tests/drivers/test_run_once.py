"""The program that runs a first script, under the shells that machines have."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from decent_cloud.drivers.contract import Broken, FirstRun, RunState, TryLater
from decent_cloud.drivers.parts import run_once
from decent_cloud.drivers.parts.run_once import OUTPUT_BYTES
from decent_cloud.kernel.status import ScriptKind, ScriptOutcome

pytestmark = pytest.mark.slow  # real waits, in three shells

SHELLS = [["/bin/sh"], ["bash"], ["busybox", "sh"]]
Call = Callable[[FirstRun], RunState]


def script(text: str, timeout_s: int = 60) -> FirstRun:
    return FirstRun(ScriptKind.SCRIPT, text, timeout_s)


def fed(shell: list[str], folder: Path, stdin: bytes) -> tuple[int, bytes]:
    line = [*shell, *run_once.command(str(folder))[1:]]
    done = subprocess.run(line, input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[-1] if len(shell) == 1 else shell[0])
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Call:
    shell: list[str] = request.param
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]} here")
    return lambda one: run_once.read_state(
        *fed(shell, tmp_path / "first", run_once.standard_input(one))
    )


def ended(call: Call, one: FirstRun) -> RunState:
    """Ask until it is over."""
    deadline = time.monotonic() + 60
    while (found := call(one)).outcome is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_a_script_runs_once_and_its_end_is_told_ever_after(call: Call, tmp_path: Path) -> None:
    marks = tmp_path / "it's a mark"
    one = script(f'#!/bin/sh\necho ran >> "{marks}"\necho said; echo wrong >&2\nexit 7\n')
    assert call(one).outcome is None or marks.exists()
    first = ended(call, one)
    assert (first.outcome, first.exit_code) == (ScriptOutcome.EXITED, 7)
    assert first.output == b"said\nwrong\n"
    assert call(one) == first
    assert marks.read_text() == "ran\n"


def test_two_who_ask_at_once_start_it_once(call: Call, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    one = script(f"#!/bin/sh\necho ran >> {marks}\nsleep 1\n")
    with ThreadPoolExecutor(4) as asking:
        found = list(asking.map(lambda _: call(one), range(4)))
    assert {each.outcome for each in found} <= {None, ScriptOutcome.EXITED}
    assert ended(call, one).exit_code == 0
    assert marks.read_text() == "ran\n"


def test_what_takes_too_long_is_ended_with_all_its_processes(call: Call, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    text = f"#!/bin/sh\necho begun\n(sleep 30; touch {alive}) &\nsleep 30\n"
    found = ended(call, script(text, timeout_s=1))
    assert (found.outcome, found.output) == (ScriptOutcome.TIMED_OUT, b"begun\n")
    assert not alive.exists()


def test_only_the_end_of_much_output_is_kept(call: Call, tmp_path: Path) -> None:
    text = "#!/bin/sh\nhead -c 9000000 /dev/zero | tr '\\0' x\nsleep 2\necho the end\n"
    found = ended(call, script(text))
    assert len(found.output) == OUTPUT_BYTES
    assert found.output.endswith(b"xthe end\n")
    assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) < 100_000


def test_a_program_left_behind_does_not_hold_up_the_end(call: Call) -> None:
    text = "#!/bin/sh\nsleep 20 &\necho started\n"
    begun_s = time.monotonic()
    assert ended(call, script(text)).output == b"started\n"
    assert time.monotonic() - begun_s < 15


def test_an_interpreter_that_is_missing_is_told(call: Call) -> None:
    found = ended(call, script("#!/no/such/interpreter\n"))
    assert found.outcome is ScriptOutcome.EXITED
    assert found.exit_code in {126, 127}


def test_a_machine_that_went_down_meanwhile_does_not_run_it_again(
    call: Call, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    one = script(f"#!/bin/sh\necho ran >> {marks}\necho half\nsleep 60\n")
    folder = tmp_path / "first"
    assert call(one).outcome is None
    deadline = time.monotonic() + 30
    while not marks.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    watcher = int((folder / "pid").read_text())
    os.killpg(watcher, signal.SIGKILL)
    children = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False)
    for pid in children.stdout.split():
        subprocess.run(["kill", "-KILL", pid.decode()], check=False)
    found = ended(call, one)
    assert (found.outcome, found.output) == (ScriptOutcome.INTERRUPTED, b"half\n")
    assert marks.read_text() == "ran\n"


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_a_script_that_arrives_cut_short_is_not_begun(tmp_path: Path, cut: int) -> None:
    marks = tmp_path / "marks"
    one = script(f"#!/bin/sh\ntouch {marks}\n")
    whole = run_once.standard_input(one)
    code, said = fed(["/bin/sh"], tmp_path / "first", whole[:cut])
    with pytest.raises((TryLater, Broken)):
        run_once.read_state(code, said)
    assert list(tmp_path.iterdir()) == []
    code, said = fed(["/bin/sh"], tmp_path / "first", whole)
    assert run_once.read_state(code, said).outcome in {None, ScriptOutcome.EXITED}


def test_cloud_config_is_followed_and_never_run(tmp_path: Path) -> None:
    one = FirstRun(ScriptKind.CLOUD_CONFIG, "#cloud-config\nruncmd: []\n", 60)
    found = run_once.read_state(*fed(["/bin/sh"], tmp_path / "first", run_once.standard_input(one)))
    if shutil.which("cloud-init") is None:
        assert found.outcome is ScriptOutcome.NOT_RUN
        assert "cloud-init" in found.detail
    assert not (tmp_path / "first").exists()


@pytest.mark.parametrize(
    ("code", "said"), [(1, b""), (0, b""), (0, b"exited"), (0, b"exited 256\n"), (0, b"odd 0\n")]
)
def test_odd_answers_are_not_believed(code: int, said: bytes) -> None:
    with pytest.raises(Broken):
        run_once.read_state(code, said)


def test_nothing_of_the_script_is_in_the_command() -> None:
    one = script("#!/bin/sh\necho canary-71c2 '$(touch /x)'\n")
    assert "canary" not in run_once.command_line(sudo=True)
    assert run_once.command_line(sudo=True).startswith("sudo -n /bin/sh -c ")
    assert run_once.standard_input(one).endswith(one.text.encode())
    assert "canary" not in repr(one)
    with pytest.raises(TryLater):
        run_once.read_state(None, b"")

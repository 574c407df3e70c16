"""Programs under a uid without a name, as in a container that is run as some number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NAMELESS = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
PREPARE = """
import sys, asyncssh
try:
    asyncssh.SSHClientConnectionOptions()
except ValueError:
    pass
else:
    sys.exit("this uid has a name")
"""
AGENT = """
from decent_cloud.programs.agent import cli
try:
    cli(["--config", sys.argv[1] + "/none.toml", "status"])
except SystemExit as ended:
    assert ended.code
"""
SERVER = """
from decent_cloud.kernel.errors import DecentError
from decent_cloud.programs.server import run
from decent_cloud.programs.server_settings import ServerSettings
try:
    run(ServerSettings(data=sys.argv[1], listen="192.0.2.1:9"))
except DecentError:
    pass
else:
    sys.exit("it serves where it cannot listen")
"""
LOG_IN = "asyncssh.SSHClientConnectionOptions(); print('can log in')"


@pytest.mark.parametrize("program", [AGENT, SERVER], ids=["agent", "server"])
def test_a_program_without_a_user_name_can_log_in_elsewhere(program: str, tmp_path: Path) -> None:
    _need_namespaces()
    script = f"{PREPARE}{program}{LOG_IN}"
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"LOGNAME", "USER", "LNAME", "USERNAME"}
    }
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-c", script, str(tmp_path)],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("can log in\n")


def _need_namespaces() -> None:
    try:
        done = subprocess.run([*NAMELESS, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode:
        pytest.skip(f"no user namespace can be made here: {done.stderr.strip()}")

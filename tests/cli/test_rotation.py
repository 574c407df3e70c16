"""An agent's new key: the commands that `dc-agent rotate-key` prints are run, and they do it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from decent_cloud.agent.keys import load_keys, make_keys
from decent_cloud.programs.agent import cli
from tests.agent.rig import eventually
from tests.cli.conftest import Desk

pytestmark = pytest.mark.slow


def words_after(text: str, sign: str) -> list[str]:
    """Return the first command in the text that begins so, as its words."""
    line = next(line for line in text.splitlines() if f" {sign}" in line)
    return shlex.split(line[line.index(f" {sign}") :].partition(",")[0])


def test_the_commands_it_prints_bring_the_new_key_in_and_the_old_one_out(
    provider: Desk, tmp_path: Path
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        f'platform = "{provider.url}"\ndata_dir = "{tmp_path}/data"\ndriver = "fake"\n'
        f'driver_settings = {{ path = "{tmp_path}/cloud.db" }}\n'
    )
    (tmp_path / "data").mkdir()
    old = make_keys(tmp_path / "data/device.key")
    join(provider, config, ["dc-agent", "register", "CODE"])
    rotated = CliRunner().invoke(cli, ["--config", str(config), "rotate-key"])
    assert rotated.exit_code == 0, rotated.output
    new = load_keys(tmp_path / "data/device.key")
    said = rotated.stdout
    assert words_after(said, "decent setup-token") == shlex.split(
        "decent setup-token create --pool POOL --wait"
    )
    join(provider, config, words_after(said, "dc-agent register"))
    program, *revoke = words_after(said, "decent agents revoke")
    assert (program, revoke[-1]) == ("decent", old.kid)
    provider.run(*revoke, "--yes")
    listed = {one["agent"] for one in provider.run("agents", "list")["items"]}
    assert new.kid in listed
    assert provider.run("agents", "show", new.kid)["agent"] == new.kid


def join(provider: Desk, config: Path, command: list[str]) -> None:
    """Run the agent's side as it was printed, with a code of the provider's, who takes it in."""
    assert command == ["dc-agent", "register", "CODE"]
    code = provider.run("setup-token", "create", "--pool", "barn")["code"]
    line = [sys.executable, "-m", "decent_cloud.programs.agent", "--config", str(config)]
    agent = subprocess.Popen(
        [*line, "register", code, "--wait", "60"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        eventually(
            lambda: provider.try_("agents", "approve", code, "--yes").exit_code == 0, timeout_s=60
        )
        _, said = agent.communicate(timeout=60)
        assert agent.returncode == 0, said
    finally:
        agent.kill()
        agent.communicate()

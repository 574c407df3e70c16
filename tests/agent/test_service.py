"""`dc-agent install-service` writes one hardened unit, the same each time, that systemd understands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from decent_cloud.agent.service import UNIT, Service, install, unit_text
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.kernel.errors import Invalid
from decent_cloud.programs.agent import cli


def service(folder: Path, driver: str = "hetzner", user: str = "root", **given: object) -> Service:
    settings = AgentSettings(
        platform="https://p", data_dir=str(folder), driver=driver, drain_s=60, driver_settings=given
    )
    return Service(settings, folder / "agent.toml", Path(sys.executable), user)


def test_the_unit_closes_what_an_agent_does_not_need(tmp_path: Path) -> None:
    lines = unit_text(service(tmp_path, user="dc-agent")).splitlines()
    wanted = {
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        f"ReadWritePaths={tmp_path}",
        "CapabilityBoundingSet=",
        "User=dc-agent",
        "TimeoutStopSec=90",
        f"ExecStart={sys.executable} --config {tmp_path}/agent.toml run",
    }
    assert wanted <= set(lines)
    assert "SupplementaryGroups=docker" not in lines


def test_docker_gets_its_group_and_a_word_about_what_that_means(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="--user root"):
        unit_text(service(tmp_path, "docker", "dc-agent"))
    assert "CAP_NET_ADMIN" in unit_text(service(tmp_path, "docker"))
    made = service(tmp_path, "docker", "dc-agent", isolation="none")
    assert "SupplementaryGroups=docker" in unit_text(made).splitlines()
    assert "as good as root on this host" in made.notes[0]


def test_sandboxes_outlive_a_restart_of_the_agent(tmp_path: Path) -> None:
    lines = unit_text(service(tmp_path, "sandbox")).splitlines()
    assert "KillMode=process" in lines
    assert "RestrictNamespaces=yes" not in lines


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    text = unit_text(service(tmp_path))
    assert (install(text, tmp_path), install(text, tmp_path)) == (True, False)
    assert install(text + "# other\n", tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [UNIT]
    with pytest.raises(Invalid, match="--print"):
        install(text, tmp_path / "none")


@pytest.mark.parametrize("user", ["a b", "x\nExecStart=/bin/sh", ""])
def test_nothing_else_gets_into_the_unit(tmp_path: Path, user: str) -> None:
    with pytest.raises(Invalid):
        unit_text(service(tmp_path, user=user))
    with pytest.raises(Invalid):
        unit_text(service(tmp_path / "a\nb"))


def test_it_is_shown_without_root(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'platform = "https://p"\ndata_dir = "{tmp_path}/data"\ndriver = "docker"\n')
    found = CliRunner().invoke(
        cli, ["--config", str(config), "install-service", "--print", "--user", "root"]
    )
    assert found.exit_code == 0, found.output
    assert f"--config {config} run" in found.stdout
    assert "note: docker" in found.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("driver", ["docker", "hetzner", "sandbox"])
def test_systemd_understands_it(tmp_path: Path, driver: str) -> None:
    install(unit_text(service(tmp_path, driver)), tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if UNIT in line]
    assert ours == [], done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("driver", ["docker", "hetzner"])
def test_systemd_finds_little_of_it_exposed(tmp_path: Path, driver: str) -> None:
    """Of 10; what counts differs between its versions, so the bound is a wide one."""
    install(unit_text(service(tmp_path, driver)), tmp_path)
    line = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=40"]
    done = subprocess.run(
        [*line, str(tmp_path / UNIT)], check=False, capture_output=True, text=True, timeout=60
    )
    if "unrecognized option" in done.stderr or "Unknown" in done.stderr:
        pytest.skip("this systemd-analyze judges no files")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr[-400:]

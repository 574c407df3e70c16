from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Lay out what the script reads, and nothing else."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def _run(checkout: Path, *arguments: str, programs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "tools/bootstrap", *arguments],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_is_refused_with_the_version_that_is_needed(checkout: Path) -> None:
    programs = checkout / "bin"
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        _program(programs, name, "echo Python 3.9.2; exit 1")
    done = _run(checkout, "python", programs=programs)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer; found Python 3.9.2" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_names_the_package_to_install(checkout: Path) -> None:
    programs = checkout / "bin"
    _program(programs, "python3", 'case "$*" in *venv*) exit 1;; esac; exit 0')
    done = _run(checkout, "python", programs=programs)
    assert done.returncode != 0
    assert "apt-get install -y python3-venv" in done.stderr


def test_a_failing_install_is_tried_again_the_next_time(checkout: Path) -> None:
    programs = checkout / "bin"
    (checkout / ".venv/bin").mkdir(parents=True)
    _program(checkout / ".venv/bin", "python", 'echo "$*" >> calls; test "$2" != pip')
    assert _run(checkout, "python", programs=programs).returncode != 0
    assert _run(checkout, "python", programs=programs).returncode != 0
    assert (checkout / "calls").read_text().count("-m pip install") == 2


def test_pip_takes_over_with_the_same_hashes_when_uv_cannot_install(checkout: Path) -> None:
    programs = checkout / "bin"
    (checkout / ".venv/bin").mkdir(parents=True)
    _program(checkout / ".venv/bin", "python", 'echo "$*" >> calls')
    _program(checkout / ".venv/bin", "uv", 'test "$2" != sync')
    assert _run(checkout, "python", programs=programs).returncode == 0
    last = (checkout / "calls").read_text().splitlines()[-1]
    assert last.startswith("-m pip install")
    assert last.endswith("--require-hashes -r requirements/dev.txt")


def test_a_second_run_installs_nothing(checkout: Path) -> None:
    programs = checkout / "bin"
    (checkout / ".venv/bin").mkdir(parents=True)
    _program(checkout / ".venv/bin", "python", 'echo "python $*" >> calls')
    _program(checkout / ".venv/bin", "uv", 'echo "uv $*" >> calls')
    assert _run(checkout, "python", programs=programs).returncode == 0
    first = (checkout / "calls").read_text()
    assert "uv pip sync" in first
    assert "--editable ." in first
    assert _run(checkout, "python", programs=programs).returncode == 0
    assert (checkout / "calls").read_text() == first + "python -c \n"


def test_without_an_emulator_and_the_rights_to_install_one_the_vm_part_is_left_out(
    checkout: Path,
) -> None:
    programs = checkout / "bin"
    _program(programs, "uname", "echo arm64")
    _program(programs, "apt-get", "exit 1")
    done = _run(checkout, "vm", programs=programs)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (checkout / "build/vm").exists()


def test_a_kernel_that_cannot_be_fetched_is_said_and_stops_nothing(checkout: Path) -> None:
    programs = checkout / "bin"
    _program(programs, "uname", "echo x86_64")
    _program(programs, "qemu-system-x86_64", "exit 0")
    _program(programs, "apt-get", "exit 1")
    _program(programs, "apt-cache", "echo '  Depends: linux-image-6.1.0-1-cloud-amd64'")
    done = _run(checkout, "vm", programs=programs)
    assert done.returncode == 0
    assert "no kernel could be fetched" in done.stderr
    assert not (checkout / "build/vm").exists()

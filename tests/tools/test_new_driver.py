"""`make driver` writes a driver that passes every check but its own kit test, which says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.rules.documents import every_setting_is_documented
from tests.tidy.rules.drivers import every_driver_has_an_entry_point, every_driver_is_kept_apart

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = (
    "pyproject.toml",
    ".importlinter",
    "Makefile",
    "tools",
    "docs/settings.md",
    "docs/drivers",
    "src/decent_cloud/__init__.py",
    "src/decent_cloud/drivers",
    "src/decent_cloud/kernel",
    "tests/drivers/conftest.py",
)
CODE = ("src/decent_cloud/drivers/mycloud", "tests/drivers/test_mycloud.py")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the tool reads and what the driver needs."""
    for part in PARTS:
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    return tmp_path


def run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    found = {"PYTHONPATH": f"{copy / 'src'}:{copy}", "MYPYPATH": str(copy / "src")}
    return subprocess.run(
        [sys.executable, *words],
        cwd=copy,
        env={**kept, **found, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def made(copy: Path) -> str:
    done = run(copy, "tools/new_driver", "mycloud")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_skeleton_is_formatted_linted_and_listed_everywhere(copy: Path) -> None:
    before = every_setting_is_documented(copy)
    assert "tests/drivers/test_mycloud.py" in made(copy)
    for words in (("format", "--check"), ("check",)):
        done = run(copy, "-m", "ruff", *words, *CODE)
        assert done.returncode == 0, done.stdout
    assert every_driver_is_kept_apart(copy) == []
    assert every_driver_has_an_entry_point(copy) == []
    assert every_setting_is_documented(copy) == before
    project = (copy / "pyproject.toml").read_text()
    assert "\nmycloud = []\n" in project
    assert '\nmycloud = "decent_cloud.drivers.mycloud.driver:MycloudDriver"\n' in project
    assert "[mycloud.md](mycloud.md)" in (copy / "docs/drivers/README.md").read_text()
    assert "| (mycloud)" in (copy / ".importlinter").read_text()


@pytest.mark.slow
def test_the_skeleton_is_typed(copy: Path) -> None:
    made(copy)
    done = run(copy, "-m", "mypy", *CODE)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_kit_test_fails_until_the_driver_is_written(copy: Path) -> None:
    made(copy)
    done = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/drivers/test_mycloud.py"
    )
    assert done.returncode == 1, done.stdout
    assert "NotWritten: create" in done.stdout
    summary = done.stdout.strip().splitlines()[-1]
    assert "passed" not in summary
    assert "failed" in summary


@pytest.mark.parametrize("name", ["", "Cloud", "my-cloud", "docker", "parts", "../etc"])
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(copy: Path, name: str) -> None:
    before = sorted(copy.rglob("*"))
    done = run(copy, "tools/new_driver", name)
    assert done.returncode == 2
    assert done.stderr.startswith("new_driver: ")
    assert sorted(copy.rglob("*")) == before

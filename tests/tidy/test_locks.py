"""The locks pin every dependency by hash, name no address, and agree with pyproject.toml and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("agent", "dev", "server", "uv")


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    pins = {}
    for line in text.splitlines():
        pin = re.fullmatch(
            r"([a-z0-9-]+)==([^\s;]+)( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+", line
        )
        assert pin, f"requirements/{name}.txt: not a hashed pin: {line[:120]}"
        pins[pin[1]] = pin[2]
    return pins


def _wanted(*extras: str, groups: tuple[str, ...] = ()) -> set[str]:
    project = PROJECT["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    for group in groups:
        wanted += PROJECT["dependency-groups"][group]
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in wanted}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("agent", _wanted("agent", "docker")),
        ("server", _wanted("server", "otel")),
        ("dev", _wanted(*PROJECT["project"]["optional-dependencies"], groups=("dev",))),
        ("uv", {"uv"}),
    ],
)
def test_a_lock_has_every_dependency_that_the_project_names(name: str, wanted: set[str]) -> None:
    assert wanted - _pins(name).keys() == set(), "run `make lock`"


@pytest.mark.parametrize("name", ["agent", "server"])
def test_what_is_installed_is_what_was_tested(name: str) -> None:
    tested = _pins("dev")
    assert {
        pin: version for pin, version in _pins(name).items() if tested.get(pin) != version
    } == {}


def test_the_agent_needs_nothing_of_the_server() -> None:
    assert not {"litestar", "sqlalchemy", "psycopg", "uvicorn"} & _pins("agent").keys()


def test_every_lock_is_checked_here() -> None:
    assert {path.stem for path in (ROOT / "requirements").glob("*")} == set(LOCKS)

"""Every command and driver that the installed package promises is there."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGE

ROOT = Path(__file__).parents[2]
OURS = [
    entry
    for group in ("console_scripts", "decent_cloud.drivers")
    for entry in entry_points(group=group)
    if entry.module.startswith("decent_cloud.")
]


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.group}:{entry.name}")
def test_an_entry_point_leads_to_something_that_runs(entry: EntryPoint) -> None:
    place = ROOT / PACKAGE.parent / f"{entry.module.replace('.', '/')}.py"
    if not place.exists():
        pytest.skip(f"{entry.module} is not written yet")
    found = entry.load()
    assert inspect.isclass(found) if entry.group == "decent_cloud.drivers" else callable(found)


def test_the_package_promises_both_commands_and_the_drivers() -> None:
    assert {entry.name for entry in OURS} >= {"decent", "dc-agent", "docker", "fake"}

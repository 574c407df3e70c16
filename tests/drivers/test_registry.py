"""Drivers are found by name, and a missing one or a missing library is said with its cure."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from decent_cloud.drivers import registry
from decent_cloud.drivers.registry import DriverNotLoadable, UnknownDriver


def test_the_installed_drivers_are_known() -> None:
    assert {"docker", "fake"} <= set(registry.known())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDriver, match="docker, fake"):
        registry.load("vapour", {}, "platform")


@pytest.fixture
def outside_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution with an entry point of the group."""
    meta = tmp_path / "outside_driver-1.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-driver\nVersion: 1\n")
    (meta / "entry_points.txt").write_text(f"[{registry.GROUP}]\noutside = outside_driver:Driver\n")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("outside_driver", None)
    return tmp_path / "outside_driver.py"


def test_a_driver_of_another_distribution_joins_by_entry_point(outside_driver: Path) -> None:
    outside_driver.write_text(
        "class Driver:\n"
        "    @classmethod\n"
        "    def from_settings(cls, settings, platform):\n"
        "        return (dict(settings), platform)\n"
    )
    made: object = registry.load("outside", {"zone": "a"}, "platform")
    assert made == ({"zone": "a"}, "platform")


def test_an_absent_library_names_the_extra_to_install(outside_driver: Path) -> None:
    outside_driver.write_text("import a_library_that_nobody_has\n")
    with pytest.raises(DriverNotLoadable, match=r"pip install 'outside-driver\[outside\]'"):
        registry.load("outside", {}, "platform")


def test_a_module_without_the_class_is_said_to_be_broken(outside_driver: Path) -> None:
    outside_driver.write_text("")
    with pytest.raises(DriverNotLoadable, match="does not load"):
        registry.load("outside", {}, "platform")


def test_the_entry_points_of_this_distribution_load() -> None:
    for name in ("docker", "fake"):
        entry = EntryPoint(
            name, f"decent_cloud.drivers.{name}.driver:{name.title()}Driver", registry.GROUP
        )
        assert callable(entry.load().from_settings)

"""Every driver stands where the direction contract and the registry find it."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

from tests.tidy.tree import PACKAGE

GROUP = "decent_cloud.drivers"


def every_driver_is_kept_apart(root: Path) -> list[str]:
    """Find driver folders that the `drivers-apart` contract does not list."""
    contracts = configparser.ConfigParser()
    contracts.read(root / ".importlinter")
    layers = contracts.get("importlinter:contract:drivers-apart", "layers", fallback="")
    listed = set(re.findall(r"\w+", layers))
    return [
        f"drivers/{name}: not in the layers of `drivers-apart` in .importlinter"
        for name in _drivers(root)
        if name not in listed
    ]


def every_driver_has_an_entry_point(root: Path) -> list[str]:
    """Find driver folders that an agent could not load by name."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    listed = project.get("entry-points", {}).get(GROUP, {})
    return [
        f'drivers/{name}: no entry in [project.entry-points."{GROUP}"] of pyproject.toml'
        for name in _drivers(root)
        if name not in listed
    ]


def _drivers(root: Path) -> list[str]:
    return sorted(path.parent.name for path in (root / PACKAGE / "drivers").glob("*/driver.py"))

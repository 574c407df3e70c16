"""Where a person's files lie, and what was said before the command's name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Globals:
    """The options that every command shares."""

    profile: str = "default"
    config: str = ""
    platform: str = ""
    json: bool = False
    color: bool = True
    quiet: bool = False


def config_file(given: str) -> Path:
    """Return the config file: as given, else DECENT_CONFIG, else in the person's folder."""
    text = given or os.environ.get("DECENT_CONFIG", "")
    return Path(text).expanduser() if text else home_folder() / "config.toml"


def home_folder() -> Path:
    """Return the person's folder: DECENT_HOME, else `decent` below XDG_CONFIG_HOME or ~/.config."""
    given = os.environ.get("DECENT_HOME")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "decent"


def profile_folder(name: str, config: Path) -> Path:
    """Return where a profile's key, pins and journal lie: the person's folder, or beside a config file of its own."""
    home = home_folder() if os.environ.get("DECENT_HOME") else config.parent
    return home / "profiles" / name

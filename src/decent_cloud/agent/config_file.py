"""Writes the agent's files that hold what a setup found out: settings and tokens, closed to others."""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path

from decent_cloud.drivers.contract import Secret
from decent_cloud.kernel.errors import Invalid


def read_table(path: Path) -> dict[str, object]:
    """Return what an earlier setup wrote, empty if nothing. Errors: Invalid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path}: {error}") from error


def write_table(path: Path, table: Mapping[str, object]) -> None:
    """Write settings as TOML, whole or not at all, mode 0600. Errors: Invalid."""
    text = "# Written by: dc-agent setup. Run it again to go on or to change something.\n" + _lines(
        table, ""
    )
    try:
        same = tomllib.loads(text) == table
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise Invalid("a setting holds something that a settings file cannot")
    _write(path, text)


def write_token(path: Path, token: Secret) -> None:
    """Write a token into a file of its own, mode 0600. Errors: Invalid."""
    value = token.reveal().strip()
    if not value or not value.isascii() or len(value.split()) > 1:
        raise Invalid("this is not a token: it is empty or has blanks in it", field="token")
    _write(path, value + "\n")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Invalid(f"{path} cannot be written: {error.strerror}") from error


def _lines(table: Mapping[str, object], name: str) -> str:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"\n[{name}]"] if name else []
    lines += [f"{_text(key)} = {_text(value)}" for key, value in plain.items()]
    text = "\n".join(lines) + "\n"
    for key, value in table.items():
        if isinstance(value, Mapping):
            text += _lines(value, f"{name}.{_text(key)}" if name else _text(key))
    return text


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

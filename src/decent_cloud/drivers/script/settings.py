"""Settings of the script driver."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from decent_cloud.drivers.contract import Broken
from decent_cloud.drivers.script.protocol import Ability, Verb
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

Seconds = Annotated[int, msgspec.Meta(ge=1, le=900)]
Port = Annotated[int, msgspec.Meta(ge=1_024, le=65_535)]


class ScriptSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `command` is the program with its arguments, run in `folder`. `config` goes to it as it is with
    each call, and so do the contents of `secret_files`, by name; both on standard input only.
    """

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    folder: str = "/"
    abilities: tuple[Ability, ...] = ()
    config: dict[str, Any] = {}
    secret_files: dict[str, str] = {}
    first_port: Port | None = None
    last_port: Port | None = None
    isolation: str = "what the script makes"
    timeout_s: Seconds = 30
    timeouts_s: dict[Verb, Seconds] = {}


def read_settings(settings: Mapping[str, object]) -> ScriptSettings:
    """Read and check settings; raises Invalid naming the field."""
    parsed = codec.convert(dict(settings), ScriptSettings)
    if not Path(parsed.command[0]).is_absolute():
        raise Invalid("give the program's full path", field="command")
    if (parsed.first_port is None) != (parsed.last_port is None):
        raise Invalid("first_port and last_port go together", field="first_port")
    if parsed.first_port and parsed.last_port and parsed.last_port < parsed.first_port:
        raise Invalid("the last port lies before the first", field="last_port")
    return parsed


def read_secrets(files: Mapping[str, str]) -> dict[str, str]:
    """Read the secret files; raises Broken naming one that is absent or open to others."""
    found = {}
    for name, path in files.items():
        try:
            mode = Path(path).stat().st_mode
            found[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Broken(f"the secret {name} cannot be read from {path}", path=path) from error
        if stat.S_IMODE(mode) & 0o077:
            raise Broken(f"others may read {path}; run: chmod 600 {path}", path=path)
    return found

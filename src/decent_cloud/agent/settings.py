"""The agent's settings: one TOML file, read once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid, NotFound

Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator says; times are in seconds, `driver_settings` goes to the driver as it is.

    `public_host` is the name or address under which tenants reach this machine's ports.
    """

    platform: str
    data_dir: str
    driver: str
    public_host: str = ""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    poll_s: Seconds = 30
    heartbeat_s: Seconds = 60
    meter_s: Seconds = 300
    lease_renew_s: Seconds = 20
    drain_s: Seconds = 60
    quarantine_grace_s: Annotated[int, msgspec.Meta(ge=0, le=2_592_000)] = 3_600
    read_lag_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 10_000
    retry_first_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1_000
    retry_longest_s: Seconds = 300
    log_level: Annotated[str, msgspec.Meta(pattern="^(debug|info|warning|error)$")] = "info"
    driver_settings: dict[str, object] = {}

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return Path(self.data_dir) / "journal.db"

    @property
    def key_file(self) -> Path:
        """The file of the agent's device key."""
        return Path(self.data_dir) / "device.key"

    @property
    def lock_file(self) -> Path:
        """The file that one running agent holds locked."""
        return Path(self.data_dir) / "agent.lock"


def read_settings(path: Path) -> AgentSettings:
    """Read the file. Errors: NotFound, Invalid naming the setting."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no settings file {path}; write one or give --config") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path}: {error}") from error
    try:
        return codec.convert(raw, AgentSettings)
    except Invalid as error:
        where = f"{path}: {error.field}" if error.field else f"{path}"
        raise Invalid(f"{where}: {error.message}", field=error.field) from error

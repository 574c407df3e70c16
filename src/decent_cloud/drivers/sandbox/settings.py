"""Settings of the sandbox driver."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

Port = Annotated[int, msgspec.Meta(ge=1_024, le=65_535)]

SYSTEM_FOLDER = Path("/var/lib/decent-sandbox")


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    All machines of this host lie in `folder` (empty: `/var/lib/decent-sandbox` for root, else
    `~/.local/state/decent-sandbox`). `address` is what tenants connect to and `bind` the host
    address listened on. Every name of `images` means the same: this host's own programs, read only.
    As root each machine runs under a host user of its own, counted from `first_uid`.
    """

    folder: str = ""
    address: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    bind: str = "127.0.0.1"
    first_port: Port = 23_000
    last_port: Port = 23_999
    images: tuple[str, ...] = ("host", "tiny")
    max_pids: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 256
    scratch_mib: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 64
    first_uid: Annotated[int, msgspec.Meta(ge=100_000, le=2_000_000_000)] = 210_000
    start_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=600)] = 30

    @property
    def place(self) -> Path:
        """The folder that all machines lie in."""
        if self.folder:
            return Path(self.folder)
        if os.geteuid() == 0:
            return SYSTEM_FOLDER
        return Path.home() / ".local" / "state" / "decent-sandbox"


def read_settings(settings: Mapping[str, object]) -> SandboxSettings:
    """Read and check settings; raises Invalid naming the field."""
    parsed = codec.convert(dict(settings), SandboxSettings)
    if parsed.last_port < parsed.first_port:
        raise Invalid("the last port lies before the first", field="last_port")
    if not parsed.images:
        raise Invalid("at least one image is needed", field="images")
    if parsed.folder and not Path(parsed.folder).is_absolute():
        raise Invalid("the folder's path starts with /", field="folder")
    try:
        ipaddress.IPv4Address(parsed.bind)
    except ValueError as error:
        raise Invalid(f"{parsed.bind!r} is not an IPv4 address", field="bind") from error
    return parsed

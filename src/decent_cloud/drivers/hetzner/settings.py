"""Settings of the Hetzner Cloud driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from decent_cloud.drivers.parts.cloud_settings import Name, read_cloud_settings


class HetznerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `token_file` holds the project's API token (Read & Write). `images` maps names that offerings may
    use to Hetzner's names or image ids; `server_types` and `locations` bound what is ever ordered, in
    order of preference (no types: all that are on sale).
    """

    token_file: Name
    images: dict[str, str] = msgspec.field(
        default_factory=lambda: {
            "debian-12": "debian-12",
            "debian-13": "debian-13",
            "ubuntu-24.04": "ubuntu-24.04",
        }
    )
    locations: tuple[Name, ...] = ("nbg1", "fsn1", "hel1")
    server_types: tuple[Name, ...] = ()
    ipv6: bool = True
    api: str = "https://api.hetzner.cloud/v1"
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30
    shutdown_wait_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 15
    action_wait_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30


def read_settings(settings: Mapping[str, object]) -> HetznerSettings:
    """Read and check settings; raises Invalid naming the field."""
    return read_cloud_settings(settings, HetznerSettings, "locations")

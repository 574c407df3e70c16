"""Settings of the Vultr driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from decent_cloud.drivers.parts.cloud_settings import Name, read_cloud_settings


class VultrSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `token_file` holds an API key. `images` maps names that offerings may use to the names or ids of
    Vultr's operating systems; `plans` and `regions` bound what is ever ordered, in order of preference
    (no plans: all that are on sale). `read_lag_s`: how long an order's outcome stays in doubt.
    """

    token_file: Name
    images: dict[str, str] = msgspec.field(
        default_factory=lambda: {
            "debian-12": "Debian 12 x64 (bookworm)",
            "debian-13": "Debian 13 x64 (trixie)",
            "ubuntu-24.04": "Ubuntu 24.04 LTS x64",
        }
    )
    regions: tuple[Name, ...] = ("fra", "ams", "lhr")
    plans: tuple[Name, ...] = ()
    ipv6: bool = True
    api: str = "https://api.vultr.com/v2"
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30
    read_lag_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 10
    calls_per_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 20


def read_settings(settings: Mapping[str, object]) -> VultrSettings:
    """Read and check settings; raises Invalid naming the field."""
    return read_cloud_settings(settings, VultrSettings, "regions")

"""Settings of the DigitalOcean driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from decent_cloud.drivers.parts.cloud_settings import Name, read_cloud_settings


class DigitalOceanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `token_file` holds an API token. `images` maps names that offerings may use to DigitalOcean's
    slugs or image ids; `sizes` and `regions` bound what is ever ordered, in order of preference
    (no sizes: all that are on sale). `read_lag_s`: how long an order's outcome stays in doubt.
    """

    token_file: Name
    images: dict[str, str] = msgspec.field(
        default_factory=lambda: {
            "debian-12": "debian-12-x64",
            "debian-13": "debian-13-x64",
            "ubuntu-24.04": "ubuntu-24-04-x64",
        }
    )
    regions: tuple[Name, ...] = ("fra1", "ams3", "lon1")
    sizes: tuple[Name, ...] = ()
    ipv6: bool = True
    api: str = "https://api.digitalocean.com"
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30
    read_lag_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 10


def read_settings(settings: Mapping[str, object]) -> DigitalOceanSettings:
    """Read and check settings; raises Invalid naming the field."""
    return read_cloud_settings(settings, DigitalOceanSettings, "regions")

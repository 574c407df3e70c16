"""Settings of the Docker driver."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

BUILT_IN = "built-in:"
TINY = f"{BUILT_IN}tiny"
SUBNET_PREFIX = 29  # gateway, instance, and room for neither neighbours nor mistakes

Port = Annotated[int, msgspec.Meta(ge=1_024, le=65_535)]


class DockerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `engine` is the socket; `address` what tenants connect to and `bind` the host address that ports
    are published on. `images` maps names that offerings may use to images on the engine. Instances
    never reach `deny_networks`; with `isolation = "none"` nothing keeps them apart.
    """

    engine: str = "unix:///var/run/docker.sock"
    address: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    bind: str = "127.0.0.1"
    first_port: Port = 22_000
    last_port: Port = 22_999
    images: dict[str, str] = msgspec.field(default_factory=lambda: {"tiny": TINY})
    isolation: Literal["firewall", "none"] = "firewall"
    subnets: str = "10.201.0.0/16"
    deny_networks: tuple[str, ...] = (
        "169.254.0.0/16",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
    )
    dns: tuple[str, ...] = ("9.9.9.9", "1.1.1.1")
    max_pids: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 512
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=600)] = 30


def read_settings(settings: Mapping[str, object]) -> DockerSettings:
    """Read and check settings; raises Invalid naming the field."""
    parsed = codec.convert(dict(settings), DockerSettings)
    if parsed.last_port < parsed.first_port:
        raise Invalid("the last port lies before the first", field="last_port")
    if not parsed.images:
        raise Invalid("at least one image is needed", field="images")
    unknown = [
        each for each in parsed.images.values() if each.startswith(BUILT_IN) and each != TINY
    ]
    if unknown:
        raise Invalid(f"unknown built-in image {unknown[0]!r}; known: {TINY}", field="images")
    _check_network(parsed.subnets, "subnets", longest=SUBNET_PREFIX)
    for each in parsed.deny_networks:
        _check_network(each, "deny_networks", longest=32)
    _check_address(parsed.bind, "bind")
    for each in parsed.dns:
        _check_address(each, "dns")
        denied = [
            n
            for n in parsed.deny_networks
            if ipaddress.IPv4Address(each) in ipaddress.IPv4Network(n)
        ]
        if denied and parsed.isolation == "firewall":
            raise Invalid(f"the resolver {each} lies in {denied[0]} of deny_networks", field="dns")
    return parsed


def _check_network(text: str, field: str, *, longest: int) -> None:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not an IPv4 network like 10.201.0.0/16", field=field) from error
    if network.prefixlen > longest:
        raise Invalid(f"{text} is too small; give a /{longest} or larger", field=field)


def _check_address(text: str, field: str) -> None:
    try:
        ipaddress.IPv4Address(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not an IPv4 address", field=field) from error

"""The server's settings: one frozen struct, read once from a TOML file and DECENT_* variables."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.prices import PriceSource
from decent_cloud.kernel.status import ServerMode

PREFIX = "DECENT_"
PRODUCTION = ServerMode.PRODUCTION
_PER_MINUTE = msgspec.Meta(ge=1, le=10_000_000)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator decides. docs/settings.md has a row for each."""

    data: str = "decent-data"
    listen: str = "127.0.0.1:8080"
    mode: ServerMode = ServerMode.DEVELOPMENT
    listen_anywhere: bool = False
    database: str = ""
    public_origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    metrics_token: str = ""
    platform_fee_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    requests_per_minute_address: Annotated[int, _PER_MINUTE] = 12_000
    requests_per_minute_identity: Annotated[int, _PER_MINUTE] = 12_000
    unsigned_writes_per_minute_address: Annotated[int, _PER_MINUTE] = 600
    streams_per_identity: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    stream_heartbeat_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 15.0
    outbound_ranges: tuple[str, ...] = ()
    reach_deadline_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
    reach_anchors: tuple[str, ...] = ()
    price_sources: tuple[str, ...] = ()
    price_addresses: tuple[str, ...] = ()
    coingecko_key: str = ""
    pool_floor_usd: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 5_000
    log_format: Annotated[str, msgspec.Meta(pattern="^(json|console)$")] = "json"
    log_level: Annotated[str, msgspec.Meta(pattern="^(debug|info|warning|error)$")] = "info"

    def __repr__(self) -> str:
        return f"ServerSettings(data={self.data!r}, listen={self.listen!r}, mode={self.mode.value})"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to bind; port 0 lets the system choose."""
        return host_and_port(self.listen, "listen")

    @property
    def database_url(self) -> str:
        """Where the database is: SQLite in the data folder unless another is named."""
        return self.database or f"sqlite:///{Path(self.data).absolute() / 'decent.db'}"


def read_settings(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: Mapping[str, object] | None = None,
) -> ServerSettings:
    """Read settings; what is given on the command line wins over the environment, that over the file.

    Lists in the environment are separated by commas. Errors: Invalid naming the setting.
    """
    values: dict[str, Any] = dict(_toml(file)) if file else {}
    for field in msgspec.structs.fields(ServerSettings):
        text = (environment or {}).get(PREFIX + field.name.upper())
        if text is not None:
            values[field.name] = _typed(field, text)
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    settings = convert(values, ServerSettings)
    check(settings)
    return settings


def check(settings: ServerSettings) -> None:
    """Refuse combinations that would be unsafe or cannot work. Errors: Invalid naming the setting."""
    host, port = settings.address
    in_the_open = not _is_loopback(host)
    if settings.mode is not PRODUCTION and in_the_open and not settings.listen_anywhere:
        raise Invalid(
            "a development server listens on loopback only; set listen_anywhere to force it",
            field="listen",
        )
    if not settings.public_origins and (settings.mode is PRODUCTION or _is_anywhere(host)):
        raise Invalid(
            "name the origins that clients use, such as https://cloud.example",
            field="public_origins",
        )
    if settings.public_origins and port == 0:
        raise Invalid("a chosen origin needs a chosen port", field="listen")
    for origin in settings.public_origins:
        scheme, _, rest = origin.partition("://")
        if scheme not in {"http", "https"} or not rest or "/" in rest:
            raise Invalid(f"{origin}: write scheme and host only", field="public_origins")
    networks(settings.proxies, "proxies")
    networks(settings.outbound_ranges, "outbound_ranges")
    for anchor in settings.reach_anchors:
        host_and_port(anchor, "reach_anchors")
    for name in settings.price_sources:
        price_source(name, "price_sources")
    price_addresses(settings.price_addresses)


def price_source(text: str, field: str) -> PriceSource:
    """Read the name of a price source. Errors: Invalid naming the setting."""
    try:
        return PriceSource(text)
    except ValueError:
        known = ", ".join(source.value for source in PriceSource)
        raise Invalid(f"{text}: no price source (known: {known})", field=field) from None


def price_addresses(texts: tuple[str, ...]) -> Mapping[PriceSource, str]:
    """Read `source=address` pairs. Errors: Invalid naming the setting."""
    field = "price_addresses"
    found: dict[PriceSource, str] = {}
    for text in texts:
        name, _, address = text.partition("=")
        if not address.startswith(("http://", "https://")):
            raise Invalid(f"{text}: write source=https://host", field=field)
        found[price_source(name, field)] = address
    return found


def networks(
    texts: tuple[str, ...], field: str
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read address ranges. Errors: Invalid naming the setting."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise Invalid(f"{error}; write ranges such as 10.0.0.0/8", field=field) from error


def host_and_port(text: str, field: str) -> tuple[str, int]:
    """Read `host:port`, IPv6 in brackets. Errors: Invalid naming the setting."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise Invalid(f"{text}: write host:port", field=field)
    return host.strip("[]"), int(port)


def _toml(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}", field="config") from error
    except ValueError as error:
        raise Invalid(f"{file}: {error}", field="config") from error


def _typed(field: msgspec.structs.FieldInfo, text: str) -> object:
    """Give an environment variable's text the shape of the setting's default."""
    default = field.default
    if isinstance(default, bool):
        return text.lower() in {"1", "true", "yes", "on"}
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError:
            raise Invalid(f"{text!r} is not a number", field=field.name) from None
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _is_anywhere(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104 - recognized here, not bound


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

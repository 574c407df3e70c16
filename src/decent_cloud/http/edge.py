"""What the HTTP edge is built from: the ports it reaches and the limits it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from decent_cloud.app.ports.unit_of_work import Database
from decent_cloud.domain.keys.platform import PlatformKey
from decent_cloud.http.body import MAX_BYTES
from decent_cloud.http.documents import Documents
from decent_cloud.http.limits import Buckets
from decent_cloud.http.metrics import Metrics
from decent_cloud.http.streams import Hub
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.ids import Ids
from decent_cloud.kernel.status import ServerMode


class Origins:
    """The public origins that signatures may name, such as `https://cloud.example`; grows only at start."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self.known = origins

    def add(self, origin: str) -> None:
        """Add the origin that a random port turned out to be."""
        if origin not in self.known:
            self.known = (*self.known, origin)


@dataclass(slots=True)
class Ready:
    """What the last look at this server's health found, and when."""

    looked_ms: int = 0
    reason: str = "not looked yet"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one address or one identity may ask."""

    address: Buckets
    identity: Buckets
    joining: Buckets  # unsigned writes, per address
    body_bytes: int = MAX_BYTES


@dataclass(frozen=True, slots=True)
class Edge:
    """Everything a handler may need; built once in `programs`."""

    db: Database
    clock: Clock
    ids: Ids
    mode: ServerMode
    platform_key: PlatformKey
    hash_key: bytes = field(repr=False)
    version: str
    processors: tuple[str, ...]
    fee_ppm: int
    origins: Origins
    limits: Limits
    hub: Hub
    documents: Documents
    metrics: Metrics
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    metrics_token: str = field(default="", repr=False)
    jobs_alive_ms: int = 60_000
    ready: Ready = field(default_factory=Ready)

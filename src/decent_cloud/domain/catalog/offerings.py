"""What an offering is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from decent_cloud.kernel.ids import AccountId, OfferingId, PoolId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import AcceptMode, OfferingKind, OfferingState, Visibility


@dataclass(frozen=True, slots=True)
class Offering:
    """Something a provider rents out; the public terms are signed at each publish (`n`, `offer`,
    `offer_hash`).

    `reserved` counts units taken by orders that are not over; available = stock - reserved.
    """

    id: OfferingId
    provider: AccountId
    pool: PoolId
    state: OfferingState
    visibility: Visibility
    title: str
    description: str
    kind: OfferingKind
    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    country: str
    region: str
    asset: Asset
    price_minor_per_hour: int
    stock: int
    reserved: int
    min_hours: int
    max_hours: int
    accept_mode: AcceptMode
    provision_timeout_s: int
    penalty_ppm: int
    settings: Mapping[str, str]
    allowed_accounts: tuple[AccountId, ...]
    updated_at_ms: int
    n: int = 0
    terms: str = ""  # canonical JSON of the published terms
    offer: str = ""  # JSON of the signed envelope
    offer_hash: str = ""
    version: int = 1

    @property
    def available(self) -> int:
        """How many more units can be ordered."""
        return max(0, self.stock - self.reserved)


@dataclass(frozen=True, slots=True)
class OfferingFilter:
    """What a search asks for; empty fields ask nothing."""

    text: str = ""
    kind: str = ""
    country: str = ""
    asset: str = ""
    provider: str = ""
    max_price_minor_per_hour: int = 0
    min_memory_mib: int = 0
    min_cpu_milli: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)

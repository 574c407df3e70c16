"""Who can be asked for prices, and how their answers are fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.errors import TryLater
from decent_cloud.kernel.prices import PriceSource

Query = Mapping[str, str]


class SourceFailed(TryLater):
    """A price source gave no usable answer."""

    code = "price_source_failed"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source said of one pair; `spread_ppm` and `depth_usd_minor` as in Observation."""

    pair: Pair
    price_e12: int
    observed_at_ms: int
    spread_ppm: int = 0
    depth_usd_minor: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """When a source is asked, and what an ICP is worth then in dollars if that is known: pools are tried with a sum."""

    now_ms: int
    icp_usd_e12: int | None


class Source(Protocol):
    """One source of prices. It is asked pair by pair, with `pause_s` between two questions."""

    @property
    def name(self) -> PriceSource:
        """Who it is."""
        ...

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What it can be asked for."""
        ...

    @property
    def pause_s(self) -> float:
        """How long it wants to be left alone between two questions."""
        ...

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        """Ask for one pair.

        Errors: SourceFailed with a reason that can be shown; BadPrice for a number that is none.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class JsonAnswers(Protocol):
    """Fetches JSON from one origin: bounded in size and time, connections reused, no redirects followed."""

    async def get(self, path: str, query: Query) -> object:
        """Return the decoded body of a 200; numbers with a point come as Decimal.

        Errors: SourceFailed with a reason that can be shown.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class CanisterCalls(Protocol):
    """Update calls to canisters of the Internet Computer: their answers are certified."""

    async def update(self, canister: str, method: str, argument: bytes) -> bytes:
        """Call a method with a Candid argument and return the Candid reply, its certificate verified.

        Errors: TryLater, and whatever else the agent raises for a reply that does not verify.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...

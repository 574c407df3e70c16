"""Where money comes in and goes back: a processor whose verbs may be called twice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from decent_cloud.kernel.money import Money


class ChargeState(StrEnum):
    """What a processor says about a charge."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DISPUTED = "disputed"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"


@dataclass(frozen=True, slots=True)
class Charge:
    """A processor's answer about a charge: its id, state, and what it really took."""

    external: str
    state: ChargeState
    received: Money
    detail: str = ""


class SentState(StrEnum):
    """What a processor says about a refund."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SentRefund:
    """A processor's answer about a refund."""

    external: str
    state: SentState
    detail: str = ""


class Processor(Protocol):
    """A payment processor. The same `key` never charges or refunds twice; TryLater = outcome
    unknown, ask again.
    """

    name: str

    async def charge(self, key: str, instrument: str, amount: Money) -> Charge:
        """Take money; the same key returns the same charge."""
        ...

    async def read_charge(self, key: str) -> Charge | None:
        """Return the charge made under a key, None if there is none."""
        ...

    async def refund(self, key: str, charge: str, amount: Money) -> SentRefund:
        """Give money back; the same key returns the same refund."""
        ...

    async def read_refund(self, key: str) -> SentRefund | None:
        """Return the refund made under a key, None if there is none."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...

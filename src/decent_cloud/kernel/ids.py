"""Identifiers: distinct types, and how time-ordered ones are made."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NewType, Protocol

AccountId = NewType("AccountId", str)  # 64 lower-case hex digits: hash of the chain's first link
Kid = NewType("Kid", str)  # b64u of 16 bytes: a device's key id
Digest = NewType("Digest", str)  # 64 lower-case hex digits: hash of the signed order
OfferingId = NewType("OfferingId", str)
PoolId = NewType("PoolId", str)
ContractId = NewType("ContractId", str)  # "c" + 26 Crockford characters; also names the assignment
TermId = NewType("TermId", str)
PaymentId = NewType("PaymentId", str)
RefundId = NewType("RefundId", str)
ResetId = NewType("ResetId", str)  # <contract>.reset<k>
JobId = NewType("JobId", str)
TransferId = NewType("TransferId", str)

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def time_ordered(prefix: str, now_ms: int, random_bits: int) -> str:
    """Return prefix + 26 lower-case Crockford characters: 48 bits of milliseconds, then 80 random
    bits.
    """
    number = (now_ms & ((1 << 48) - 1)) << 80 | (random_bits & ((1 << 80) - 1))
    return prefix + "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


class Ids(Protocol):
    """A source of new identifiers, minted before a unit of work so that the unit may run twice."""

    def new(self, prefix: str, now_ms: int) -> str:
        """Return a fresh time-ordered id."""
        ...


class RandomIds:
    """Identifiers from the operating system's randomness."""

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._random_bits = random_bits

    def new(self, prefix: str, now_ms: int) -> str:
        """Return a fresh time-ordered id."""
        return time_ordered(prefix, now_ms, self._random_bits(80))

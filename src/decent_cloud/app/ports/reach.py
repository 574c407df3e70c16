"""Whether an instance can be reached from here: address, SSH banner, host key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Reached(StrEnum):
    """What a check found."""

    OK = "ok"
    REFUSED_ADDRESS = "refused_address"
    NO_CONNECTION = "no_connection"
    NO_BANNER = "no_banner"
    WRONG_HOST_KEY = "wrong_host_key"
    BLIND = "blind"  # the vantage point itself has no network: says nothing about the instance


@dataclass(frozen=True, slots=True)
class ReachResult:
    """One check's finding; `took_ms` is wall time."""

    reached: Reached
    detail: str
    took_ms: int


class Reach(Protocol):
    """A vantage point."""

    async def check(self, host: str, port: int, host_keys: tuple[str, ...]) -> ReachResult:
        """Connect, read the SSH banner, finish the key exchange and compare the host key; never
        raises.
        """
        ...

"""Rate limits: token buckets per address and per identity, and the headers that tell clients about them."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from decent_cloud.kernel.errors import RateLimited

_MAX_BUCKETS = 50_000
_WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one bucket says about one request: `remaining` after it, and seconds until the next token."""

    policy: str
    per_minute: int
    remaining: int
    next_s: int
    granted: bool

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the RateLimit headers (draft-ietf-httpapi-ratelimit-headers)."""
        policy = f'"{self.policy}";q={self.per_minute};w={_WINDOW_S}'
        state = f'"{self.policy}";r={self.remaining};t={self.next_s}'
        return (b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())

    def check(self) -> None:
        """Raise RateLimited if this request is one too many."""
        if not self.granted:
            raise RateLimited(
                f"too many requests ({self.policy}: {self.per_minute} a minute);"
                f" try again in {self.next_s} s",
                retry_after_s=self.next_s,
            )


class Buckets:
    """Token buckets of one policy: `per_minute` requests, all of them at once if they were saved up."""

    def __init__(
        self, policy: str, per_minute: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._per_minute = per_minute
        self._per_s = per_minute / _WINDOW_S
        self._monotonic = monotonic
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> Allowance:
        """Take one token of `who`'s bucket if there is one."""
        now = self._monotonic()
        level, since = self._levels.pop(who, (float(self._per_minute), now))
        level = min(float(self._per_minute), level + (now - since) * self._per_s)
        granted = level >= 1
        level -= 1 if granted else 0
        self._levels[who] = (level, now)
        if len(self._levels) > _MAX_BUCKETS:
            # The bucket that rested longest is the fullest: forgetting it gives nothing away.
            self._levels.popitem(last=False)
        next_s = 0 if level >= 1 else max(1, math.ceil((1 - level) / self._per_s))
        return Allowance(self._policy, self._per_minute, int(level), next_s, granted)

"""How many calls an account has left at its vendor, as its answers say; waits a little, or says for how long."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from decent_cloud.drivers.contract import TryLater
from decent_cloud.kernel.clock import Clock, SystemClock

_RETRY_AFTER = "retry-after"
_DEFAULT_AFTER_S = 10  # a vendor that says "too many" and not for how long
_LONGEST_AFTER_S = 3_600


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """Names of a vendor's headers, in lower case; `reset` holds seconds since 1970.

    `refill_per_s` where the budget fills up drop by drop, so that nobody need wait for `reset`;
    0 where it comes back all at once.
    """

    remaining: str
    reset: str
    refill_per_s: float = 0.0


class RateBudget:
    """The budget of one account in one process: `spend` before each call, `learn` from each answer.

    `per_s` paces calls evenly where a vendor counts them by the second and tells nothing.
    """

    def __init__(
        self,
        headers: RateHeaders | None = None,
        *,
        per_s: float = 0.0,
        longest_wait_s: float = 2.0,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._headers = headers
        self._gap_s = 1 / per_s if per_s else 0.0
        self._longest_wait_s = longest_wait_s
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._lock = threading.Lock()
        self._remaining: int | None = None
        self._closed_until_s = 0.0
        self._next_s = 0.0

    @property
    def remaining(self) -> int | None:
        """Return how many calls the vendor said are left, None before it said so."""
        return self._remaining

    def spend(self) -> None:
        """Take one call out of the budget; waits up to `longest_wait_s`, then raises TryLater with the time."""
        with self._lock:
            now_s = self._now_s()
            at_s = max(now_s, self._closed_until_s, self._next_s)
            wait_s = at_s - now_s
            if wait_s > self._longest_wait_s:
                raise TryLater(
                    "the vendor's limit of calls is used up; waiting for it to fill again",
                    after_s=_whole(wait_s),
                )
            self._next_s = at_s + self._gap_s
        if wait_s > 0:
            self._sleep(wait_s)

    def learn(self, status: int, headers: Mapping[str, str]) -> int:
        """Read an answer's headers; returns the seconds to wait if it says there were too many, else 0."""
        low = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            now_s = self._now_s()
            if self._headers is not None and self._headers.remaining in low:
                self._remaining = _number(low[self._headers.remaining])
            if status != 429 and self._remaining != 0:
                return 0
            wait_s = self._wait_s(low, now_s, refused=status == 429)
            self._closed_until_s = max(self._closed_until_s, now_s + wait_s)
            return _whole(wait_s) if status == 429 else 0

    def _wait_s(self, low: Mapping[str, str], now_s: float, *, refused: bool) -> float:
        if _number(low.get(_RETRY_AFTER, "")) is not None:
            return min(float(low[_RETRY_AFTER]), _LONGEST_AFTER_S)
        known = self._headers
        if known is not None and known.refill_per_s:
            # Others draw from the same budget: come back for more than one drop after a refusal.
            return (5 if refused else 1) / known.refill_per_s
        reset = _number(low.get(known.reset, "")) if known is not None else None
        if reset is not None:
            return min(max(reset - now_s, 1.0), _LONGEST_AFTER_S)
        return _DEFAULT_AFTER_S if refused else 0.0

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1_000


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))

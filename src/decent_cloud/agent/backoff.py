"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from decent_cloud.client.errors import ApiProblem
from decent_cloud.drivers.contract import TryLater
from decent_cloud.kernel.clock import HOUR_MS

LONGEST_MS = HOUR_MS  # whatever the other side asks


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `first_ms` to `longest_ms`, shortened by up to half at random.

    `chance` returns a number in 0..1.
    """

    first_ms: int = 1_000
    longest_ms: int = 300_000
    chance: Callable[[], float] = field(default=random.random)

    def pause_ms(self, tries: int, error: Exception | None = None) -> int:
        """Return the pause after the n-th failure; never shorter than what the other side asks."""
        full_ms = min(self.longest_ms, self.first_ms * 2 ** min(tries - 1, 30))
        pause_ms = max(int(full_ms * (0.5 + 0.5 * self.chance())), _asked_ms(error))
        return min(pause_ms, LONGEST_MS)


def _asked_ms(error: Exception | None) -> int:
    if isinstance(error, TryLater):
        return error.after_s * 1_000
    if isinstance(error, ApiProblem) and error.retry_after_s:
        return error.retry_after_s * 1_000
    return 0

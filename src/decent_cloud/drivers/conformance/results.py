"""What became of each test of a run; needs no pytest."""

from __future__ import annotations

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """One test: `passed`, `failed` or `skipped`, and why."""

    name: str
    outcome: str
    seconds: float
    why: str = ""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A run; `code` is pytest's."""

    code: int
    outcomes: tuple[Outcome, ...] = ()

    def count(self, outcome: str) -> int:
        """Count the tests that ended like this."""
        return sum(each.outcome == outcome for each in self.outcomes)

"""What agents found when they compared an offering with their backend, and when that closes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from decent_cloud.kernel.ids import Kid, OfferingId


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """One thing that keeps a backend from making what is offered, and its cure."""

    check: str
    detail: str
    cure: str


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """The newest word of one agent about one offering as it was at `revision`; no problems: it fits."""

    offering: OfferingId
    agent: Kid
    revision: int  # the offering's version that was compared
    at_ms: int
    problems: tuple[PlanProblem, ...] = ()


def current(
    checks: Iterable[PlanCheck], revision: int, agents: Iterable[Kid]
) -> tuple[PlanCheck, ...]:
    """Return the words that count: about the offering as it is, of agents that are online now."""
    online = set(agents)
    return tuple(one for one in checks if one.revision == revision and one.agent in online)


def fails(checks: Iterable[PlanCheck]) -> bool:
    """Tell whether somebody looked and nobody could make it; where nobody looked, nothing is known."""
    words = [bool(one.problems) for one in checks]
    return bool(words) and all(words)

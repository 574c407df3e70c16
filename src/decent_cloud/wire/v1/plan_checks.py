"""Offerings as agents compare them with their backends, and what they found."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.wire.v1.money import ShortText, Timestamp

Detail = Annotated[str, msgspec.Meta(max_length=1_000)]


class OfferedPlan(Answer, frozen=True):
    """A published offering of the calling agent's pool; `revision` counts its changes."""

    offering: str
    revision: int
    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    settings: dict[str, str]
    reset: bool
    management_key: bool


class OfferedPlans(Answer, frozen=True):
    """Some of a pool's published offerings, and the cursor of the next page."""

    items: tuple[OfferedPlan, ...]
    next: str


class PlanProblemWire(Request, frozen=True):
    """One thing that keeps an agent's backend from making what is offered, and its cure."""

    check: ShortText
    detail: Detail
    cure: Detail = ""


class PlanWord(Request, frozen=True):
    """An agent's word about one offering as it was at a revision; no problems: it fits."""

    offering: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    revision: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    problems: Annotated[tuple[PlanProblemWire, ...], msgspec.Meta(max_length=20)] = ()


class PlanWords(Request, frozen=True):
    """What an agent found when it compared offerings of its pool with its backend."""

    items: Annotated[tuple[PlanWord, ...], msgspec.Meta(max_length=100)]


class PlanWordsTaken(Answer, frozen=True):
    """How many of the words were about offerings as they are now."""

    taken: int


class PlanProblemView(Answer, frozen=True):
    """One thing that keeps a backend from making what is offered, and its cure."""

    check: str
    detail: str
    cure: str


class PlanCheckView(Answer, frozen=True):
    """What one agent that is online says of an offering as it is now."""

    agent: str
    at: Timestamp
    problems: tuple[PlanProblemView, ...]

"""What a step of a contract asks for beside the record itself: data that `app/steps.py` carries out in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from decent_cloud.kernel.status import Desired


@dataclass(frozen=True, slots=True)
class GiveBackStock:
    """The offering's unit is free again."""


@dataclass(frozen=True, slots=True)
class OpenAssignment:
    """An agent of the pool may now work on this contract."""


@dataclass(frozen=True, slots=True)
class SetDesired:
    """What the instance should be from now on; written to the pool's log also if only the paid time moved."""

    desired: Desired


@dataclass(frozen=True, slots=True)
class WatchSuspended:
    """See in time that an instance which cannot be stopped does not run on for more than a day."""


@dataclass(frozen=True, slots=True)
class CheckReach:
    """Find out from outside whether the instance answers."""


@dataclass(frozen=True, slots=True)
class StartTerms:
    """Terms that were paid but have no place in time yet end where the contract's paid time ends."""


@dataclass(frozen=True, slots=True)
class MoveTerms:
    """Terms that were not over at `from_ms` move on by `by_ms`: the clock stood."""

    from_ms: int
    by_ms: int


@dataclass(frozen=True, slots=True)
class ReleaseEarned:
    """Book what the provider has earned by served time."""


@dataclass(frozen=True, slots=True)
class RefundAll:
    """Nothing was delivered: everything paid goes back."""

    reason: str


@dataclass(frozen=True, slots=True)
class RefundRest:
    """What is still held after the release goes back."""

    reason: str


@dataclass(frozen=True, slots=True)
class BookPenalty:
    """The provider pays the stated share of the refund on top, as credit to the tenant."""


Effect: TypeAlias = (
    GiveBackStock
    | OpenAssignment
    | SetDesired
    | WatchSuspended
    | CheckReach
    | StartTerms
    | MoveTerms
    | ReleaseEarned
    | RefundAll
    | RefundRest
    | BookPenalty
)

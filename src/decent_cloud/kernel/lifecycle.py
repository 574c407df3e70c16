"""A lifecycle as data: one table of (state, event) -> state, with an owner and a deadline rule per
state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from decent_cloud.kernel.errors import Conflict

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransition(Conflict):
    """This event is not possible in the present state."""

    code = "illegal_transition"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who must move a state on, and by when (text for the chart; the rule itself is code)."""

    owner: str
    deadline: str


@dataclass(frozen=True, slots=True)
class Lifecycle(Generic[S, E]):
    """One table; terminal states have no rows, resting ones only rows for late outside events.

    `computed` names the rows whose target is held by the record (the table shows one value).
    """

    name: str
    states: type[S]
    events: type[E]
    initial: S
    table: Mapping[tuple[S, E], S]
    keepers: Mapping[S, Keeper]
    resting: frozenset[S] = frozenset()
    computed: frozenset[tuple[S, E]] = field(default_factory=frozenset)

    def next(self, state: S, event: E) -> S:
        """Return the state that `event` leads to; raises IllegalTransition."""
        try:
            return self.table[state, event]
        except KeyError:
            raise IllegalTransition(
                f"{self.name} is {state.value}: {event.value} is not possible now",
                state=state.value,
                event=event.value,
            ) from None

    def allows(self, state: S, event: E) -> bool:
        """Tell whether the table has a row for this state and event."""
        return (state, event) in self.table

    def terminal(self) -> frozenset[S]:
        """Return the states that nothing leaves."""
        return frozenset(set(self.states) - {state for state, _ in self.table})

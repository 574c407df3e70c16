"""A lifecycle is its table, nothing more."""

from enum import StrEnum

import pytest

from decent_cloud.kernel.lifecycle import IllegalTransition, Keeper, Lifecycle


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    BRICKED = "bricked"


class Push(StrEnum):
    PUSHED = "pushed"
    WALLED = "walled"


DOOR = Lifecycle(
    name="door",
    states=Door,
    events=Push,
    initial=Door.OPEN,
    table={
        (Door.OPEN, Push.PUSHED): Door.SHUT,
        (Door.SHUT, Push.PUSHED): Door.OPEN,
        (Door.SHUT, Push.WALLED): Door.BRICKED,
    },
    keepers={Door.OPEN: Keeper("anyone", "never"), Door.SHUT: Keeper("anyone", "never")},
)


def test_the_table_leads_on() -> None:
    assert DOOR.next(Door.SHUT, Push.WALLED) is Door.BRICKED
    assert DOOR.allows(Door.OPEN, Push.PUSHED)
    assert not DOOR.allows(Door.OPEN, Push.WALLED)


def test_a_missing_row_is_refused_with_both_words() -> None:
    with pytest.raises(IllegalTransition) as refused:
        DOOR.next(Door.OPEN, Push.WALLED)
    assert refused.value.details == {"state": "open", "event": "walled"}


def test_terminal_states_are_those_without_rows() -> None:
    assert DOOR.terminal() == {Door.BRICKED}

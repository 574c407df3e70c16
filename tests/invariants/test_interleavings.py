"""Invariants 1, 2 and 5: whatever happens in whatever order, one legal state, whole books, no unpaid machine.

Later work adds to the actions: payouts, SLA credits.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from decent_cloud.kernel.status import ContractState
from tests.contracts.conftest import Held
from tests.support.disorder import Rental
from tests.support.usecases import Usecases

NAMES = (
    "pay",
    "decline",
    "dispute",
    "dispute won",
    "dispute lost",
    "accept",
    "reject",
    "terminate",
    "cancel",
    "extend",
    "lease",
    "create",
    "success",
    "failure",
    "leftovers",
    "gone",
    "absent",
    "reached",
    "unreachable",
    "confirm",
    "suspend",
    "resume",
    "wait",
    "deadlines",
    "release",
    "gift",
    "renew",
    "refund sent",
    "refund failed",
    "reset asked",
    "reset told",
)
STEP = st.tuples(st.sampled_from(NAMES), st.integers(0, 30))
# Pure chance hardly ever gets a rental to active: most stories begin some way along the good path.
GOOD = ("pay", "accept", "lease", "create", "success", "reached", "wait", "extend", "pay")
STORIES = st.tuples(
    st.integers(0, len(GOOD)), st.lists(STEP, max_size=25), st.sampled_from(["auto", "manual"])
)
Story = tuple[int, list[tuple[str, int]], str]


def play(use: Usecases, story: Story, *, thorough: bool) -> Rental:
    begun, steps, mode = story
    rental = Rental.start(use, mode, thorough=thorough)
    for name in GOOD[:begun]:
        # The newest payment: an extension's comes after the order's.
        rental.happen(name, len(use.payments(rental.contract)) - 1 if name == "pay" else 1)
    for name, variant in steps:
        rental.happen(name, variant)
    rental.finish()
    return rental


def test_the_list_of_what_may_happen_is_whole() -> None:
    assert set(Rental.start(Usecases(), "auto").actions()) == set(NAMES)


@pytest.mark.slow
@settings(max_examples=150)
@given(STORIES)
def test_any_order_of_events_ends_in_one_legal_state_with_whole_books(story: Story) -> None:
    play(Usecases(), story, thorough=True)


@pytest.mark.slow
@settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=STORIES)
def test_the_same_holds_on_every_database(held: Held, story: Story) -> None:
    play(Usecases(held), story, thorough=False)


@pytest.mark.parametrize("ending", ["cancel", "terminate", "gone", "deadlines"])
def test_the_good_path_ends_well(use: Usecases, ending: str) -> None:
    rental = Rental.start(use, "manual")
    for name in GOOD:
        rental.happen(name, len(use.payments(rental.contract)) - 1 if name == "pay" else 1)
    assert rental.refused == 0
    assert use.contract(rental.contract).state is ContractState.ACTIVE
    assert len([term for term in use.terms(rental.contract) if term.paid]) == 2
    rental.happen(ending, 0)
    rental.finish()

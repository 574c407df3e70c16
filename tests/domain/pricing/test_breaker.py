"""The breaker: every state meets every event, limits are exact, and nothing but good rounds brings a price back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.pricing.breaker import (
    BREAKER,
    MAX_AGE_MS,
    MAX_JUMP_PPM,
    Accepted,
    Outcome,
    RoundEvent,
    Standing,
    after_round,
    good,
    resumed,
    unheard,
)
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import PriceState
from tests.domain.pricing.looks import NOW_MS

OK, DEGRADED, HALTED = PriceState.OK, PriceState.DEGRADED, PriceState.HALTED
E = RoundEvent
# Written a second time, by hand: where each pair leads; what is missing here must be refused.
LEADS_TO = {
    OK: {
        E.GOOD: OK, E.WIDE: DEGRADED, E.OFF_PEG: DEGRADED, E.CAPPED: DEGRADED, E.TOO_FEW: HALTED, E.JUMPED: HALTED,
        E.OUT_OF_BAND: HALTED, E.EXPIRED: HALTED,
    },
    DEGRADED: {
        E.GOOD: OK, E.WIDE: DEGRADED, E.OFF_PEG: DEGRADED, E.CAPPED: DEGRADED, E.TOO_FEW: HALTED, E.JUMPED: HALTED,
        E.OUT_OF_BAND: HALTED, E.EXPIRED: HALTED,
    },
    HALTED: {
        E.GOOD: HALTED, E.PROVEN: OK, E.WIDE: HALTED, E.OFF_PEG: HALTED, E.CAPPED: HALTED, E.TOO_FEW: HALTED,
        E.JUMPED: HALTED, E.OUT_OF_BAND: HALTED, E.EXPIRED: HALTED, E.RESUMED: HALTED,
    },
}  # fmt: skip


def price(price_e12: int, at_ms: int = NOW_MS) -> Accepted:
    return Accepted(price_e12, at_ms, 0, ("one",))


def standing(state: PriceState, accepted: Accepted | None = None) -> Standing:
    return Standing(Asset.ICP, state, accepted, None, 0, "", NOW_MS, NOW_MS)


def bad(event: RoundEvent) -> Outcome:
    return Outcome(event, None, "why")


@pytest.mark.parametrize("state", list(PriceState))
@pytest.mark.parametrize("event", list(RoundEvent))
def test_every_state_meets_every_event(state: PriceState, event: RoundEvent) -> None:
    if event in LEADS_TO[state]:
        assert BREAKER.next(state, event) is LEADS_TO[state][event]
    else:
        with pytest.raises(IllegalTransition):
            BREAKER.next(state, event)


@pytest.mark.parametrize("state", list(PriceState))
@pytest.mark.parametrize("event", [one for one in RoundEvent if one not in {E.PROVEN, E.RESUMED}])
def test_every_outcome_of_a_round_leaves_a_standing_that_keeps_its_promises(
    state: PriceState, event: RoundEvent
) -> None:
    before = standing(state, price(E12) if state is not HALTED else None)
    found = price(E12, NOW_MS + MINUTE_MS) if event in {E.GOOD, E.CAPPED} else None
    after = after_round(before, Outcome(event, found, "why"), NOW_MS + MINUTE_MS)
    assert after.state is LEADS_TO[state][event]
    assert (after.reason == "") == (after.state is OK)
    if after.state is OK:
        assert after.accepted == found
    if after.state is HALTED:
        assert after.accepted == before.accepted  # remembered, never shown
    assert after.looked_at_ms == NOW_MS + MINUTE_MS
    moved = after.state is not before.state
    assert after.state_since_ms == (NOW_MS + MINUTE_MS if moved else NOW_MS)


def test_a_price_begins_halted_and_needs_three_good_rounds() -> None:
    found = unheard(Asset.ICP, NOW_MS)
    assert (found.state, found.accepted) == (HALTED, None)
    for number in (1, 2):
        found = after_round(found, good(price(E12)), NOW_MS)
        assert (found.state, found.accepted, found.good_rounds) == (HALTED, None, number)
        assert found.reason == f"{number} of 3 good rounds"
    found = after_round(found, good(price(E12)), NOW_MS)
    assert (found.state, found.accepted, found.good_rounds) == (OK, price(E12), 0)


def test_a_bad_round_begins_the_count_anew() -> None:
    found = unheard(Asset.ICP, NOW_MS)
    for outcome in (good(price(E12)), good(price(E12)), bad(E.TOO_FEW), good(price(E12))):
        found = after_round(found, outcome, NOW_MS)
    assert (found.state, found.good_rounds) == (HALTED, 1)


@pytest.mark.parametrize(
    ("off_ppm", "state"),
    [(MAX_JUMP_PPM, OK), (MAX_JUMP_PPM + 1, HALTED), (-MAX_JUMP_PPM - 1, HALTED)],
)
def test_a_jump_just_beyond_the_limit_halts(off_ppm: int, state: PriceState) -> None:
    found = after_round(standing(OK, price(1_000_000)), good(price(1_000_000 + off_ppm)), NOW_MS)
    assert found.state is state
    if state is HALTED:
        assert "jumped by 15 %" in found.reason


def test_after_a_jump_the_new_level_counts_once_it_holds() -> None:
    found = after_round(standing(OK, price(E12)), good(price(2 * E12)), NOW_MS)
    for _ in range(2):
        found = after_round(found, good(price(2 * E12)), NOW_MS)
    assert found.state is HALTED
    found = after_round(found, good(price(2 * E12)), NOW_MS)
    assert (found.state, found.accepted) == (OK, price(2 * E12))


def test_a_price_that_keeps_jumping_stays_halted() -> None:
    found = unheard(Asset.ICP, NOW_MS)
    for number in range(20):
        found = after_round(found, good(price(E12 if number % 2 else 2 * E12)), NOW_MS)
    assert (found.state, found.good_rounds, found.accepted) == (HALTED, 0, None)


@pytest.mark.parametrize("event", [E.WIDE, E.OFF_PEG])
def test_a_degraded_price_ends_just_after_fifteen_minutes(event: RoundEvent) -> None:
    before = standing(DEGRADED, price(E12))
    held = after_round(before, bad(event), NOW_MS + MAX_AGE_MS)
    ended = after_round(before, bad(event), NOW_MS + MAX_AGE_MS + 1)
    assert (held.state, held.accepted) == (DEGRADED, price(E12))
    assert ended.state is HALTED
    assert ended.reason == "why; nothing better for 15 min"


def test_a_capped_price_is_shown_as_far_as_it_may_move() -> None:
    held = price(110)
    found = after_round(standing(OK, price(100)), Outcome(E.CAPPED, held, "fast"), NOW_MS)
    assert (found.state, found.accepted, found.reason) == (DEGRADED, held, "fast")


def test_an_operator_shortens_the_way_back_but_sets_no_state() -> None:
    halted = after_round(standing(OK, price(E12)), good(price(9 * E12)), NOW_MS)
    looked = resumed(halted, NOW_MS)
    assert looked.state is HALTED
    assert after_round(looked, good(price(9 * E12)), NOW_MS).state is OK
    assert after_round(looked, bad(E.TOO_FEW), NOW_MS).state is HALTED
    for state in (OK, DEGRADED):
        with pytest.raises(IllegalTransition):
            resumed(standing(state, price(E12)), NOW_MS)


def test_the_same_round_of_the_same_standing_gives_the_same_answer() -> None:
    before = replace(standing(OK, price(E12)), version=7)
    assert after_round(before, good(price(E12)), NOW_MS) == after_round(
        before, good(price(E12)), NOW_MS
    )
    assert after_round(before, good(price(E12)), NOW_MS).version == 7

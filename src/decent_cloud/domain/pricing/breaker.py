"""The breaker of one asset's price: each round's outcome moves it, and only three good rounds or a person close it.

HALTED is also where every asset begins: before the third good round there is no price, and no number stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from decent_cloud.domain.pricing.numbers import apart_ppm
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.lifecycle import Keeper, Lifecycle
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import PriceState

MAX_JUMP_PPM = 150_000
MAX_AGE_MS = 15 * MINUTE_MS
ROUNDS_TO_RECOVER = 3
NEVER_LOOKED = "no source has been asked yet"


class RoundEvent(StrEnum):
    """What a round of observations, the clock or a person did."""

    GOOD = "good"
    PROVEN = "proven"  # the last of the good rounds that a halted price needs
    WIDE = "wide"  # sources lie too far apart
    OFF_PEG = "off_peg"  # a ck token is not worth what it stands for
    CAPPED = "capped"  # a thin market moved faster than it may
    TOO_FEW = "too_few"  # not enough fresh, independent sources
    JUMPED = "jumped"  # too far from the price before
    OUT_OF_BAND = "out_of_band"  # the network's own rate says otherwise
    EXPIRED = "expired"  # the accepted price is too old even to be shown
    RESUMED = "resumed"  # an operator looked: one more good round will do


_E, _S = RoundEvent, PriceState
_HOLDS = (_E.WIDE, _E.OFF_PEG, _E.CAPPED)

BREAKER = Lifecycle(
    name="price",
    states=PriceState,
    events=RoundEvent,
    initial=PriceState.HALTED,
    table={
        (_S.OK, _E.GOOD): _S.OK,
        (_S.OK, _E.WIDE): _S.DEGRADED,
        (_S.OK, _E.OFF_PEG): _S.DEGRADED,
        (_S.OK, _E.CAPPED): _S.DEGRADED,
        (_S.OK, _E.TOO_FEW): _S.HALTED,
        (_S.OK, _E.JUMPED): _S.HALTED,
        (_S.OK, _E.OUT_OF_BAND): _S.HALTED,
        (_S.OK, _E.EXPIRED): _S.HALTED,
        (_S.DEGRADED, _E.GOOD): _S.OK,
        (_S.DEGRADED, _E.WIDE): _S.DEGRADED,
        (_S.DEGRADED, _E.OFF_PEG): _S.DEGRADED,
        (_S.DEGRADED, _E.CAPPED): _S.DEGRADED,
        (_S.DEGRADED, _E.TOO_FEW): _S.HALTED,
        (_S.DEGRADED, _E.JUMPED): _S.HALTED,
        (_S.DEGRADED, _E.OUT_OF_BAND): _S.HALTED,
        (_S.DEGRADED, _E.EXPIRED): _S.HALTED,
        (_S.HALTED, _E.GOOD): _S.HALTED,
        (_S.HALTED, _E.PROVEN): _S.OK,
        (_S.HALTED, _E.WIDE): _S.HALTED,
        (_S.HALTED, _E.OFF_PEG): _S.HALTED,
        (_S.HALTED, _E.CAPPED): _S.HALTED,
        (_S.HALTED, _E.TOO_FEW): _S.HALTED,
        (_S.HALTED, _E.JUMPED): _S.HALTED,
        (_S.HALTED, _E.OUT_OF_BAND): _S.HALTED,
        (_S.HALTED, _E.EXPIRED): _S.HALTED,
        (_S.HALTED, _E.RESUMED): _S.HALTED,
    },
    keepers={
        _S.OK: Keeper("platform", "each minute's round; 15 min without a good one -> `halted`"),
        _S.DEGRADED: Keeper(
            "platform", "each minute's round; 15 min without a good one -> `halted`"
        ),
        _S.HALTED: Keeper("platform", "each minute's round; an operator may shorten the way back"),
    },
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A price that a round left standing, and the observations it was made of."""

    price_e12: int
    at_ms: int
    spread_ppm: int
    observations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one asset's price stands. `candidate` is what the last good round said while it is halted."""

    asset: Asset
    state: PriceState
    accepted: Accepted | None
    candidate: Accepted | None
    good_rounds: int
    reason: str  # why it is not OK, for people; empty when it is
    looked_at_ms: int
    state_since_ms: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round says of an asset: a price (good, or capped to what a thin market may move), or why not."""

    event: RoundEvent
    found: Accepted | None
    reason: str


def unheard(asset: Asset, now_ms: int) -> Standing:
    """Return where every asset begins: no price, and no way to one but good rounds."""
    return Standing(asset, BREAKER.initial, None, None, 0, NEVER_LOOKED, now_ms, now_ms)


def good(found: Accepted) -> Outcome:
    """Return the outcome of a round whose sources agree."""
    return Outcome(RoundEvent.GOOD, found, "")


def after_round(standing: Standing, outcome: Outcome, now_ms: int) -> Standing:
    """Return where a price stands after a round; the same round of the same standing gives the same answer."""
    event, reason = _event(standing, outcome, now_ms)
    state = BREAKER.next(standing.state, event)
    after = replace(
        standing,
        state=state,
        reason=reason,
        looked_at_ms=now_ms,
        state_since_ms=now_ms if state is not standing.state else standing.state_since_ms,
    )
    if state is PriceState.HALTED:
        counted = standing.good_rounds + 1 if event is RoundEvent.GOOD else 0
        kept = outcome.found if event in {RoundEvent.GOOD, RoundEvent.JUMPED} else None
        return replace(after, candidate=kept, good_rounds=counted)
    shown = outcome.found if event in {*_GOOD, RoundEvent.CAPPED} else standing.accepted
    return replace(after, accepted=shown, candidate=None, good_rounds=0)


def resumed(standing: Standing, now_ms: int) -> Standing:
    """Let one more good round close the breaker, on an operator's word.

    Errors: IllegalTransition for a price that is not halted.
    """
    state = BREAKER.next(standing.state, RoundEvent.RESUMED)
    return replace(
        standing,
        state=state,
        candidate=None,
        good_rounds=ROUNDS_TO_RECOVER - 1,
        looked_at_ms=now_ms,
    )


_GOOD = (RoundEvent.GOOD, RoundEvent.PROVEN)


def _event(standing: Standing, outcome: Outcome, now_ms: int) -> tuple[RoundEvent, str]:
    """Return what a round means for this standing, and why."""
    if outcome.event is RoundEvent.GOOD and outcome.found is not None:
        before = standing.candidate if standing.state is PriceState.HALTED else standing.accepted
        if before is not None:
            off_ppm = apart_ppm(outcome.found.price_e12, before.price_e12)
            if off_ppm > MAX_JUMP_PPM:
                return RoundEvent.JUMPED, f"jumped by {off_ppm // 10_000} % in one round"
        if standing.state is not PriceState.HALTED:
            return RoundEvent.GOOD, ""
        seen = standing.good_rounds + 1
        if seen >= ROUNDS_TO_RECOVER:
            return RoundEvent.PROVEN, ""
        return RoundEvent.GOOD, f"{seen} of {ROUNDS_TO_RECOVER} good rounds"
    aged = standing.accepted is not None and now_ms - standing.accepted.at_ms > MAX_AGE_MS
    if outcome.event in _HOLDS and outcome.found is None and aged:
        minutes = MAX_AGE_MS // MINUTE_MS
        return RoundEvent.EXPIRED, f"{outcome.reason}; nothing better for {minutes} min"
    return outcome.event, outcome.reason

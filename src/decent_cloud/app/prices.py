"""Prices of tokens: what a round of observations changes, and what anybody may read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decent_cloud.app.caller import Caller, require_admin
from decent_cloud.app.ports.prices import Candle, PricePoint
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.pricing import breaker, rounds
from decent_cloud.domain.pricing.breaker import Accepted, Standing
from decent_cloud.domain.pricing.errors import PriceUnavailable
from decent_cloud.domain.pricing.observation import Observation, Pair, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Price, quotable, showable, state_now
from decent_cloud.domain.pricing.rounds import TOKENS, WINDOW_MS, Seen
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import ChartRange, Coin
from decent_cloud.kernel.status import PriceState

NEWEST_WITHIN_MS = 2 * HOUR_MS  # what is older is stale whatever its source
OBSERVATIONS_KEPT_MS = 14 * DAY_MS
POINTS_KEPT_MS = 90 * DAY_MS
QUOTES_KEPT_MS = DAY_MS  # of those that nobody used
CANDLES_KEPT_MS: Mapping[int, int] = {
    5 * MINUTE_MS: 3 * DAY_MS,
    HOUR_MS: 60 * DAY_MS,
    DAY_MS: 3 * 366 * DAY_MS,
}
CHARTS: Mapping[ChartRange, tuple[int, int]] = {  # step, and how far back
    ChartRange.DAY: (5 * MINUTE_MS, DAY_MS),
    ChartRange.WEEK: (HOUR_MS, 7 * DAY_MS),
    ChartRange.MONTH: (HOUR_MS, 31 * DAY_MS),
    ChartRange.YEAR: (DAY_MS, 366 * DAY_MS),
}
MOST_CANDLES = 800  # more than any range has


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at all sources brought, and the floor for pools in cents."""

    observations: tuple[Observation, ...]
    reports: tuple[SourceReport, ...]
    pool_floor_usd_minor: int


@dataclass(frozen=True, slots=True)
class AssetPrice:
    """Everything there is to say of one token's price now; without `price` the reason says why there is none."""

    asset: Asset
    state: PriceState
    price: Price | None
    can_quote: bool
    reason: str
    looked_at_ms: int
    state_since_ms: int
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class PriceBoard:
    """All tokens' prices, and how the newest look at each source ended."""

    prices: tuple[AssetPrice, ...]
    sources: tuple[SourceReport, ...]


def record_round(uow: UnitOfWork, found: Round, now_ms: int) -> tuple[Standing, ...]:
    """Store what sources said, judge it, and move every token's price; a repeated round changes nothing twice."""
    for observation in found.observations:
        uow.prices.add_observation(observation)
    for report in found.reports:
        uow.prices.report(report)
    standings = uow.prices.standings()
    seen = Seen(
        newest=uow.prices.newest(now_ms - NEWEST_WITHIN_MS),
        samples=uow.prices.observations_of(Pair(Coin.DCT, Coin.ICP), now_ms - WINDOW_MS),
        before=_an_hour_ago(uow, now_ms),
        pool_floor_usd_minor=found.pool_floor_usd_minor,
        now_ms=now_ms,
    )
    after = rounds.judge(standings, seen)
    for standing in after:
        uow.prices.save_standing(standing)
        accepted = standing.accepted
        if accepted is not None and accepted.at_ms == now_ms:
            _draw(uow, standing, accepted)
    return after


def board(uow: UnitOfWork, now_ms: int) -> PriceBoard:
    """Return what is known of every token's price, to anybody."""
    standings = uow.prices.standings()
    prices = tuple(_priced(uow, asset, standings.get(asset), now_ms) for asset in TOKENS)
    return PriceBoard(prices, uow.prices.reports())


def price_of(uow: UnitOfWork, asset: Asset, now_ms: int) -> AssetPrice:
    """Return one token's price. Errors: NotFound for money that is not priced in dollars."""
    return _priced(uow, _token(asset), uow.prices.standing(asset), now_ms)


def price_to_quote(uow: UnitOfWork, asset: Asset, now_ms: int) -> Price:
    """Return the price that a new quote may use.

    Errors: PriceUnavailable with the reason; NotFound for what is no token.
    """
    standing = uow.prices.standing(_token(asset))
    return quotable(asset, standing, uow.prices.operator_price(asset), now_ms)


def history(
    uow: UnitOfWork, asset: Asset, before_ms: int, limit: int
) -> tuple[tuple[PricePoint, ...], int | None]:
    """Return accepted prices before an instant, newest first, and where the next page begins."""
    found = uow.prices.points(_token(asset), before_ms, limit + 1)
    page = found[:limit]
    return page, page[-1].at_ms if len(found) > limit else None


def chart(
    uow: UnitOfWork, asset: Asset, range_: ChartRange, now_ms: int
) -> tuple[int, tuple[Candle, ...]]:
    """Return a chart's step and its candles, oldest first; steps without a price have none."""
    step_ms, back_ms = CHARTS[range_]
    found = uow.prices.candles(_token(asset), step_ms, now_ms - back_ms, MOST_CANDLES)
    return step_ms, found


def resume(uow: UnitOfWork, caller: Caller, asset: Asset, now_ms: int) -> AssetPrice:
    """Let one more good round bring a halted price back, as an operator who has looked.

    Errors: Forbidden; IllegalTransition if it is not halted; NotFound for what is no token.
    """
    require_admin(caller)
    standing = uow.prices.standing(_token(asset)) or breaker.unheard(asset, now_ms)
    uow.prices.save_standing(breaker.resumed(standing, now_ms))
    return price_of(uow, asset, now_ms)


def sweep(uow: UnitOfWork, now_ms: int) -> None:
    """Remove what is older than it is kept."""
    uow.prices.drop(now_ms - OBSERVATIONS_KEPT_MS, now_ms - POINTS_KEPT_MS, now_ms - QUOTES_KEPT_MS)
    for step_ms, kept_ms in CANDLES_KEPT_MS.items():
        uow.prices.drop_candles(step_ms, now_ms - kept_ms)


def token_named(text: str) -> Asset:
    """Return the token of a name. Errors: NotFound."""
    found = next((asset for asset in TOKENS if asset.value.lower() == text.lower()), None)
    if found is None:
        raise NotFound(f"{text} is no token that has a price here")
    return found


def _token(asset: Asset) -> Asset:
    if asset not in TOKENS:
        raise NotFound(f"{asset.value} is no token that has a price here")
    return asset


def _an_hour_ago(uow: UnitOfWork, now_ms: int) -> Accepted | None:
    found = uow.prices.point_before(Asset.DCT, now_ms - HOUR_MS)
    if found is None:
        return None
    return Accepted(found.price_e12, found.at_ms, found.spread_ppm, ())


def _draw(uow: UnitOfWork, standing: Standing, accepted: Accepted) -> None:
    """Add an accepted price to history and charts."""
    uow.prices.add_point(
        PricePoint(
            standing.asset, accepted.at_ms, accepted.price_e12, accepted.spread_ppm, standing.state
        )
    )
    for step_ms in CANDLES_KEPT_MS:
        at_ms = accepted.at_ms // step_ms * step_ms
        known = uow.prices.candle(standing.asset, step_ms, at_ms)
        now_e12 = accepted.price_e12
        uow.prices.put_candle(
            Candle(
                asset=standing.asset,
                step_ms=step_ms,
                at_ms=at_ms,
                open_e12=known.open_e12 if known else now_e12,
                high_e12=max(known.high_e12, now_e12) if known else now_e12,
                low_e12=min(known.low_e12, now_e12) if known else now_e12,
                close_e12=now_e12,
            )
        )


def _priced(uow: UnitOfWork, asset: Asset, standing: Standing | None, now_ms: int) -> AssetPrice:
    by_hand = uow.prices.operator_price(asset)
    known = standing or breaker.unheard(asset, now_ms)
    state = state_now(known, now_ms)
    price, can_quote, reason = _shown(asset, standing, by_hand, now_ms)
    ids = price.observations if price else ()
    return AssetPrice(
        asset=asset,
        state=state,
        price=price,
        can_quote=can_quote,
        reason=reason or known.reason,
        looked_at_ms=known.looked_at_ms if standing else 0,
        state_since_ms=known.state_since_ms if standing else 0,
        observations=uow.prices.observations(ids),
    )


def _shown(
    asset: Asset, standing: Standing | None, by_hand: OperatorPrice | None, now_ms: int
) -> tuple[Price | None, bool, str]:
    """Return the price to show, whether it can be quoted, and why not."""
    try:
        return quotable(asset, standing, by_hand, now_ms), True, ""
    except PriceUnavailable as refused:
        reason = str(refused.details.get("reason", refused.message))
    try:
        return showable(asset, standing, by_hand, now_ms), False, reason
    except PriceUnavailable:
        return None, False, reason

"""What an amount of dollars costs in a token, locked for ten minutes with everything it rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.domain.pricing.breaker import MAX_AGE_MS, NEVER_LOOKED, Accepted, Standing
from decent_cloud.domain.pricing.errors import PriceUnavailable, QuoteExpired, QuoteUsed
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Observation
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR, Asset
from decent_cloud.kernel.prices import PriceOrigin
from decent_cloud.kernel.status import PriceState

VALID_MS = 10 * MINUTE_MS
QUOTABLE_MS = 3 * MINUTE_MS  # a price that no round renewed for so long is not quoted any more
DOLLAR = Asset.USD


@dataclass(frozen=True, slots=True)
class Price:
    """A price in use: dollars per token, who stands for it, since when, and until when by the operator's word."""

    asset: Asset
    price_e12: int
    origin: PriceOrigin
    at_ms: int
    until_ms: int | None
    observations: tuple[str, ...]
    spread_ppm: int


@dataclass(frozen=True, slots=True)
class Quote:
    """`amount_minor` of the token for `dollars_minor`, until `expires_at_ms`. `observations` are kept whole, so that
    a quote can be checked long after the rest was dropped. `used_for` names what it was spent on, once.
    """

    id: str
    account: AccountId
    asset: Asset
    amount_minor: int
    dollars_minor: int
    price_e12: int
    origin: PriceOrigin
    observations: tuple[Observation, ...]
    made_at_ms: int
    expires_at_ms: int
    used_for: str = ""
    used_at_ms: int = 0
    version: int = 1


def quotable(
    asset: Asset, standing: Standing | None, by_hand: OperatorPrice | None, now_ms: int
) -> Price:
    """Return the price that a new quote may use: the market's while it is OK, else the operator's.

    Errors: PriceUnavailable with the reason.
    """
    reason = NEVER_LOOKED if standing is None else standing.reason
    if standing is not None and standing.state is PriceState.OK and standing.accepted is not None:
        if now_ms - standing.accepted.at_ms <= QUOTABLE_MS:
            return _of_market(asset, standing.accepted)
        reason = f"the newest round is {(now_ms - standing.accepted.at_ms) // MINUTE_MS} min old"
    if by_hand is not None and by_hand.stands(now_ms):
        return _by_hand(by_hand)
    raise PriceUnavailable(f"no price of {asset.value}: {reason}", asset=asset.value, reason=reason)


def showable(
    asset: Asset, standing: Standing | None, by_hand: OperatorPrice | None, now_ms: int
) -> Price:
    """Return the price to show: one that can be quoted, else the last accepted one while it is not too old.

    Errors: PriceUnavailable with the reason.
    """
    try:
        return quotable(asset, standing, by_hand, now_ms)
    except PriceUnavailable:
        if standing is None or standing.accepted is None or state_now(standing, now_ms) is _HALTED:
            raise
        return _of_market(asset, standing.accepted)


_HALTED = PriceState.HALTED


def state_now(standing: Standing, now_ms: int) -> PriceState:
    """Return the state as it is now, also when no round has come to say so: a price ages by itself."""
    if standing.accepted is None or standing.state is _HALTED:
        return _HALTED
    age_ms = now_ms - standing.accepted.at_ms
    if age_ms > MAX_AGE_MS:
        return _HALTED
    return standing.state if age_ms <= QUOTABLE_MS else PriceState.DEGRADED


def tokens_for(dollars_minor: int, price_e12: int, asset: Asset) -> int:
    """Return how many minor units of a token cover an amount of cents, rounded up.

    Errors: Invalid for nothing, and for more than an amount can hold.
    """
    if dollars_minor <= 0:
        raise Invalid("a quote is for an amount above 0", field="amount_minor")
    above = dollars_minor * 10**asset.decimals * E12
    below = 10**DOLLAR.decimals * price_e12
    amount_minor = int(-(-above // below))
    if amount_minor > MAX_AMOUNT_MINOR:
        raise Invalid("more than one amount can hold; split it", field="amount_minor")
    return amount_minor


def spend(quote: Quote, used_for: str, now_ms: int) -> Quote:
    """Use a quote, once; the same use again changes nothing.

    Errors: QuoteUsed, QuoteExpired.
    """
    if quote.used_for == used_for:
        return quote
    if quote.used_for:
        raise QuoteUsed
    if now_ms >= quote.expires_at_ms:
        raise QuoteExpired
    return replace(quote, used_for=used_for, used_at_ms=now_ms)


def _of_market(asset: Asset, found: Accepted) -> Price:
    return Price(
        asset,
        found.price_e12,
        PriceOrigin.MARKET,
        found.at_ms,
        None,
        found.observations,
        found.spread_ppm,
    )


def _by_hand(found: OperatorPrice) -> Price:
    return Price(
        found.asset, found.price_e12, PriceOrigin.OPERATOR, found.set_at_ms, found.until_ms, (), 0
    )

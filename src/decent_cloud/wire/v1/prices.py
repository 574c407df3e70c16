"""Prices of tokens in dollars, their history, quotes, and prices set by hand."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import ChartRange, Coin, PriceOrigin, PriceSource
from decent_cloud.kernel.status import PriceState
from decent_cloud.wire.v1.money import Amount, Timestamp
from decent_cloud.wire.v1.statements import StatementWire


class ObservationView(Answer, frozen=True):
    """What one source said: one `base` costs `price` of `quote` (a decimal number as text)."""

    source: PriceSource
    base: Coin
    quote: Coin
    price: str
    observed_at: Timestamp  # by the source's clock
    received_at: Timestamp  # by ours


class PriceView(Answer, frozen=True):
    """One token's price. `usd` is null when there is none, and `reason` says why; nothing stands in for it.

    `state` is the market's breaker. `can_quote` tells whether a new quote can be had at this price. `origin` is
    `operator` for a price set by hand, which then ends at `until`.
    """

    asset: Asset
    state: PriceState
    state_since: Timestamp | None
    usd: str | None
    origin: PriceOrigin | None
    at: Timestamp | None
    until: Timestamp | None
    age_s: int | None
    spread_ppm: int | None
    can_quote: bool
    reason: str
    observations: tuple[ObservationView, ...]


class SourceView(Answer, frozen=True):
    """How the newest look at one pair of one source ended; `problem` is empty when it gave a price."""

    source: PriceSource
    base: Coin
    quote: Coin
    looked_at: Timestamp
    problem: str


class PricesView(Answer, frozen=True):
    """All tokens, and all sources that are switched on."""

    now: Timestamp
    prices: tuple[PriceView, ...]
    sources: tuple[SourceView, ...]


class PricePointView(Answer, frozen=True):
    """A price that a round accepted."""

    at: Timestamp
    usd: str
    spread_ppm: int
    state: PriceState


class PriceHistoryPage(Answer, frozen=True):
    """Accepted prices, newest first."""

    asset: Asset
    items: tuple[PricePointView, ...]
    next: str


class PriceChart(Answer, frozen=True):
    """A chart as columns of one length, oldest first: `at_s` are Unix seconds, the rest dollars as text."""

    asset: Asset
    range: ChartRange
    step_s: int
    at_s: tuple[int, ...]
    open: tuple[str, ...]
    high: tuple[str, ...]
    low: tuple[str, ...]
    close: tuple[str, ...]


class AskQuote(Request, frozen=True):
    """How much in dollars (cents, as text) is to be paid in which token."""

    asset: Asset
    usd_minor: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,15}$")]


class QuoteView(Answer, frozen=True):
    """`amount` of the token pays `price_of`, rounded up, until `expires_at`; it rests on the observations."""

    id: str
    amount: Amount
    price_of: Amount
    usd: str
    origin: PriceOrigin
    made_at: Timestamp
    expires_at: Timestamp
    used: bool
    observations: tuple[ObservationView, ...]


class SetOperatorPrice(Request, frozen=True):
    """A `dcx/price/v1` statement by a device of the operator's account."""

    statement: StatementWire


class OperatorPriceView(Answer, frozen=True):
    """A price set by hand; the next one carries `next_n`."""

    asset: Asset
    n: int
    next_n: int
    usd: str
    until: Timestamp
    set_at: Timestamp
    withdrawn_at: Timestamp | None
    account: str
    kid: str
    statement: StatementWire

"""Why there is no price, or no quote."""

from __future__ import annotations

from decent_cloud.kernel.errors import Conflict, Exhausted, Invalid, NotFound


class PriceUnavailable(Conflict):
    """There is no usable price of this asset right now."""

    code = "price_unavailable"


class BadPrice(Invalid):
    """This is not a price: a positive decimal number of at most 12 decimal places."""

    code = "bad_price"


class QuoteExpired(Conflict):
    """This quote is over; ask for a new one."""

    code = "quote_expired"


class QuoteUsed(Conflict):
    """This quote was used for something else."""

    code = "quote_used"


class NoSuchQuote(NotFound):
    """There is no such quote of yours."""

    code = "no_such_quote"


class DailyQuotesExhausted(Exhausted):
    """As much of this token as one day allows was bought at quoted prices; pay in another asset."""

    code = "daily_quotes_exhausted"

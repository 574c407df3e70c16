"""Quotes: what an amount of dollars costs in a token, locked for ten minutes, used once."""

from __future__ import annotations

from decent_cloud.app.caller import Caller, require_reader, require_writer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.prices import price_to_quote
from decent_cloud.domain.pricing.errors import DailyQuotesExhausted, NoSuchQuote
from decent_cloud.domain.pricing.quotes import VALID_MS, Quote, spend, tokens_for
from decent_cloud.kernel.clock import DAY_MS
from decent_cloud.kernel.errors import RateLimited
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.money import Asset

MOST_OPEN = 20  # of one account
# Of a token that one thin pool prices, no more than this is taken at quoted prices in a day.
THIN_TOKENS = frozenset({Asset.DCT})


def make_quote(
    uow: UnitOfWork, caller: Caller, asset: Asset, dollars_minor: int, now_ms: int, id_: str
) -> Quote:
    """Lock the price of a token for an amount of cents; the token amount is rounded up.

    Errors: PriceUnavailable with the reason; RateLimited with too many open ones; DeviceOnly, ReadOnlyDevice;
    NotFound, Invalid.
    """
    account = require_writer(caller)
    if uow.prices.open_quotes(account, now_ms) >= MOST_OPEN:
        raise RateLimited(
            f"{MOST_OPEN} quotes are open; use one or let it end", retry_after_s=VALID_MS // 1_000
        )
    quote = quoted(uow, account, asset, dollars_minor, now_ms, id_)
    uow.prices.add_quote(quote)
    return quote


def quoted(
    uow: UnitOfWork, account: AccountId, asset: Asset, dollars_minor: int, now_ms: int, id_: str
) -> Quote:
    """Return a quote that is not stored yet. Errors: PriceUnavailable, NotFound, Invalid."""
    price = price_to_quote(uow, asset, now_ms)
    until_ms = now_ms + VALID_MS
    return Quote(
        id=id_,
        account=account,
        asset=asset,
        amount_minor=tokens_for(dollars_minor, price.price_e12, asset),
        dollars_minor=dollars_minor,
        price_e12=price.price_e12,
        origin=price.origin,
        observations=uow.prices.observations(price.observations),
        made_at_ms=now_ms,
        expires_at_ms=until_ms if price.until_ms is None else min(until_ms, price.until_ms),
    )


def read_quote(uow: UnitOfWork, caller: Caller, id_: str) -> Quote:
    """Return one of the caller's quotes. Errors: NoSuchQuote, DeviceOnly."""
    account = require_reader(caller)
    found = uow.prices.quote(id_)
    if found is None or found.account != account:
        raise NoSuchQuote
    return found


def use_quote(
    uow: UnitOfWork, account: AccountId, id_: str, used_for: str, now_ms: int, thin_cap_minor: int
) -> Quote:
    """Spend a quote on one thing, named by `used_for`; the same again changes nothing.

    `thin_cap_minor` is how many cents a day of a thinly traded token may be taken at quoted prices.
    Errors: NoSuchQuote, QuoteUsed, QuoteExpired, DailyQuotesExhausted.
    """
    found = uow.prices.quote(id_)
    if found is None or found.account != account:
        raise NoSuchQuote
    spent = spend(found, used_for, now_ms)
    if spent is found:
        return found
    if found.asset in THIN_TOKENS:
        today_minor = uow.prices.spent_usd_minor(found.asset, now_ms - DAY_MS)
        if today_minor + found.dollars_minor > thin_cap_minor:
            raise DailyQuotesExhausted
    uow.prices.save_quote(spent)
    return spent

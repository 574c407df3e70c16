"""Prices that operators set by hand: signed, numbered, expiring, withdrawn by a word."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app.accounts import load_chain
from decent_cloud.app.caller import Caller, require_admin, require_writer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.prices import token_named
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.keys.errors import WrongSequence
from decent_cloud.domain.keys.operator_prices import verify_operator_price
from decent_cloud.domain.keys.statements import Statement
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.kernel.clock import DAY_MS
from decent_cloud.kernel.errors import Forbidden, Invalid, NotFound
from decent_cloud.kernel.money import Asset

LONGEST_MS = 31 * DAY_MS


def set_price(
    uow: UnitOfWork, caller: Caller, asset: Asset, statement: Statement, now_ms: int
) -> OperatorPrice:
    """Take an operator's signed price of a token.

    Errors: Forbidden; any `KeyRefused`; WrongSequence for a number that does not follow; BadPrice; Invalid for one
    that is over already or lasts longer than 31 days.
    """
    require_admin(caller)
    account = require_writer(caller)
    price, kid = verify_operator_price(statement, load_chain(uow, account))
    if price.platform_id != uow.platform.platform_id():
        raise Forbidden("this price was signed for another platform")
    if price.asset != token_named(asset.value).value:
        raise Invalid("the statement is about another token", field="statement")
    if not now_ms < price.until_ms <= now_ms + LONGEST_MS:
        raise Invalid("a price by hand ends within 31 days from now", field="statement")
    last = uow.prices.operator_price(asset)
    if price.number != (last.number if last else 0) + 1:
        raise WrongSequence("another price was set by hand in the meantime; sign the next number")
    found = OperatorPrice(
        asset=asset,
        number=price.number,
        price_e12=from_text(price.dollars),
        until_ms=price.until_ms,
        set_at_ms=now_ms,
        account=account,
        kid=kid,
        statement=statement_text(statement),
    )
    uow.prices.add_operator_price(found)
    return found


def withdraw_price(uow: UnitOfWork, caller: Caller, asset: Asset, now_ms: int) -> OperatorPrice:
    """Take the standing price by hand back. Errors: Forbidden; NotFound if none stands."""
    require_admin(caller)
    found = uow.prices.operator_price(token_named(asset.value))
    if found is None or not found.stands(now_ms):
        raise NotFound(f"no price by hand stands for {asset.value}")
    taken_back = replace(found, withdrawn_at_ms=now_ms)
    uow.prices.save_operator_price(taken_back)
    return taken_back


def read_price(uow: UnitOfWork, caller: Caller, asset: Asset) -> OperatorPrice:
    """Return the newest price by hand of a token, standing or not. Errors: Forbidden; NotFound if there was none."""
    require_admin(caller)
    found = uow.prices.operator_price(token_named(asset.value))
    if found is None:
        raise NotFound(f"no price of {asset.value} was ever set by hand")
    return found

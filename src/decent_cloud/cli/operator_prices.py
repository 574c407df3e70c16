"""`decent admin price`: a token's price set by hand, signed and expiring, and the way back from a halt."""

from __future__ import annotations

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.prices import TOKENS, price_rows
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.errors import ApiProblem
from decent_cloud.domain.keys.operator_prices import SignedPrice, sign_operator_price
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.errors import Kind
from decent_cloud.kernel.money import Asset
from decent_cloud.wire.v1.prices import OperatorPriceView

_ASSET = click.argument("asset", type=click.Choice(TOKENS, case_sensitive=False))


@click.group("price")
def group() -> None:
    """Set a token's price by hand; let a halted price back."""


@group.command("set", cls=Leaf, example="decent admin price set DCT --usd 0.0204 --hours 24")
@_ASSET
@click.option("--usd", required=True, help="Dollars for one token, such as 0.0204.")
@click.option("--hours", type=click.IntRange(1, 744), default=24, show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def set_price(session: Session, asset: str, usd: str, hours: int, yes: bool) -> None:
    """Sign what one ASSET is worth until it expires; used, and shown as yours, while the market has no price."""
    token = Asset(asset)
    number = _next_number(session, token)
    session.out.ask(f"Sign {usd} USD for one {token.value} for {hours} h?", yes=yes)
    price = SignedPrice(
        account_id=session.account,
        platform_id=session.client.accounts.platform().platform_id,
        asset=token.value,
        dollars=usd,
        number=number,
        until_ms=session.now_ms() + hours * HOUR_MS,
    )
    statement = sign_operator_price(price, session.keys)
    _show(session, session.client.prices.set_by_hand(token, statement))


@group.command("show", cls=Leaf, example="decent admin price show DCT")
@_ASSET
@pass_session
def show(session: Session, asset: str) -> None:
    """Show the newest price of ASSET that was set by hand, also when it is over."""
    _show(session, session.client.prices.by_hand(Asset(asset)))


@group.command("withdraw", cls=Leaf, example="decent admin price withdraw DCT")
@_ASSET
@pass_session
def withdraw(session: Session, asset: str) -> None:
    """Take the price by hand of ASSET back at once; quotes made at it stay good."""
    _show(session, session.client.prices.withdraw(Asset(asset)))


@group.command("resume", cls=Leaf, example="decent admin price resume ICP")
@_ASSET
@pass_session
def resume(session: Session, asset: str) -> None:
    """Say that the halted price of ASSET was looked at: the next good round brings it back."""
    found = session.client.prices.resume(Asset(asset))
    if session.out.json:
        session.out.data(found)
        return
    session.out.fields(price_rows(found, session.now_ms()))


def _next_number(session: Session, token: Asset) -> int:
    try:
        return session.client.prices.by_hand(token).next_n
    except ApiProblem as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return 1


def _show(session: Session, found: OperatorPriceView) -> None:
    if session.out.json:
        session.out.data(found)
        return
    now_ms = session.now_ms()
    session.out.fields(
        [
            ("asset", found.asset.value),
            ("price", f"{found.usd} USD, by hand"),
            ("number", str(found.n)),
            ("until", words.when(found.until, now_ms)),
            ("withdrawn", words.when(found.withdrawn_at, now_ms)),
            ("signed by", f"{found.account}.{found.kid}"),
        ]
    )

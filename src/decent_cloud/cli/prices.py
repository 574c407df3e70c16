"""`decent prices` and `decent quote`: what tokens are worth, who says so, and a price locked for ten minutes."""

from __future__ import annotations

from collections.abc import Iterator

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import ChartRange, PriceOrigin
from decent_cloud.wire.v1.prices import PricePointView, PricesView, PriceView, QuoteView

TOKENS = [one.value for one in Asset if one not in {Asset.USD, Asset.EUR}]


@click.command(
    "prices",
    cls=Leaf,
    example="decent prices\ndecent prices ICP --sources\ndecent prices DCT --chart week",
)
@click.argument("asset", type=click.Choice(TOKENS, case_sensitive=False), required=False)
@click.option("--sources", is_flag=True, help="Also what each source said, or why it said nothing.")
@click.option("--history", type=click.IntRange(1, 200), help="So many accepted prices of ASSET.")
@click.option(
    "--chart", type=click.Choice([one.value for one in ChartRange]), help="A chart of ASSET."
)
@pass_session
def prices(
    session: Session, asset: str | None, sources: bool, history: int | None, chart: str | None
) -> None:
    """Show what tokens cost in dollars, how old that is and who says so; or why there is no price.

    A price is OK, degraded (shown, not quoted) or halted (there is none). One that an operator set by
    hand is marked as such.
    """
    if (history or chart) and not asset:
        raise click.UsageError("--history and --chart need an ASSET")
    token = Asset(asset) if asset else None
    if token and history:
        _show_history(session, token, history)
    elif token and chart:
        _show_chart(session, token, ChartRange(chart))
    else:
        _show_board(session, session.visitor.prices.all(), token, sources=sources)


@click.command("quote", cls=Leaf, example="decent quote ICP 25.00")
@click.argument("asset", type=click.Choice(TOKENS, case_sensitive=False))
@click.argument("dollars")
@pass_session
def quote(session: Session, asset: str, dollars: str) -> None:
    """Lock for ten minutes what an amount of DOLLARS costs in ASSET; rounded up to its smallest unit."""
    asked_minor = words.parse_amount(dollars, Asset.USD, "dollars")
    found = session.client.prices.ask(Asset(asset), asked_minor)
    if session.out.json:
        session.out.data(found)
        return
    session.out.fields(_quote_rows(found, session.now_ms()))


def price_rows(found: PriceView, now_ms: int) -> list[tuple[str, str]]:
    """Return one token's price as names and values."""
    return [
        ("asset", found.asset.value),
        ("price", f"{found.usd} USD" if found.usd else "none"),
        ("by", _by(found)),
        ("since", words.when(found.at, now_ms)),
        ("market", found.state.value),
        ("can be quoted", "yes" if found.can_quote else "no"),
        *([("why", found.reason)] if found.reason else []),
    ]


def _show_board(session: Session, found: PricesView, token: Asset | None, *, sources: bool) -> None:
    wanted = tuple(one for one in found.prices if token in {None, one.asset})
    if session.out.json:
        session.out.data(next(iter(wanted)) if token else found)
        return
    session.out.table(
        ("ASSET", "USD", "AGE", "BY", "MARKET", "QUOTES", "WHY NOT"),
        (
            (
                one.asset.value,
                one.usd or "-",
                "-" if one.age_s is None else words.duration(one.age_s * 1_000),
                _by(one),
                one.state.value,
                "yes" if one.can_quote else "no",
                one.reason if not one.can_quote else "",
            )
            for one in wanted
        ),
    )
    if sources or not found.sources:  # that none is asked is why there is no price
        _show_sources(session, found, wanted)


def _show_sources(session: Session, found: PricesView, wanted: tuple[PriceView, ...]) -> None:
    said = {
        (one.source, one.base, one.quote): one.price
        for price in wanted
        for one in price.observations
    }
    session.out.table(
        ("SOURCE", "PAIR", "SAID", "PROBLEM"),
        (
            (
                one.source.value,
                f"{one.base.value}/{one.quote.value}",
                said.get((one.source, one.base, one.quote), "-"),
                one.problem,
            )
            for one in found.sources
        ),
        empty="no source is switched on (the operator's setting price_sources)",
    )


def _show_history(session: Session, token: Asset, most: int) -> None:
    page = session.visitor.prices.history(token, "", most)
    if session.out.json:
        session.out.data(page)
        return
    now_ms = session.now_ms()
    session.out.table(
        ("AT", "USD", "SPREAD", "MARKET"),
        _history_rows(page.items, now_ms),
        empty=f"no price of {token.value} was ever accepted",
    )


def _history_rows(items: tuple[PricePointView, ...], now_ms: int) -> Iterator[tuple[str, ...]]:
    for one in items:
        whole, rest = divmod(one.spread_ppm, 10_000)
        yield words.when(one.at, now_ms), one.usd, f"{whole}.{rest // 100:02d} %", one.state.value


def _show_chart(session: Session, token: Asset, range_: ChartRange) -> None:
    found = session.visitor.prices.chart(token, range_)
    if session.out.json:
        session.out.data(found)
        return
    columns = (found.at_s, found.open, found.high, found.low, found.close)
    session.out.table(
        ("FROM", "OPEN", "HIGH", "LOW", "CLOSE"),
        ((words.local(at_s * 1_000), *rest) for at_s, *rest in zip(*columns, strict=True)),
        empty=f"no price of {token.value} was accepted in this time",
    )


def _by(found: PriceView) -> str:
    if found.origin is None:
        return "-"
    return "operator, by hand" if found.origin is PriceOrigin.OPERATOR else "market"


def _quote_rows(found: QuoteView, now_ms: int) -> list[tuple[str, str]]:
    return [
        ("quote", found.id),
        ("pay", words.amount(found.amount)),
        ("for", words.amount(found.price_of)),
        ("price", f"{found.usd} USD"),
        ("by", "operator, by hand" if found.origin is PriceOrigin.OPERATOR else "market"),
        ("valid until", words.when(found.expires_at, now_ms)),
        ("rests on", ", ".join(dict.fromkeys(one.source.value for one in found.observations))),
    ]

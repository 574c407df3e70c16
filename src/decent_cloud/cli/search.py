"""`decent search`: published offerings, cheapest first."""

from __future__ import annotations

import click

from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.offering_view import offering_row
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.cli.words import parse_amount, parse_cores
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import OfferingKind
from decent_cloud.wire.v1.offerings import OfferingsPage, OfferingView


@click.command(
    "search",
    cls=Leaf,
    example="decent search --country DE --min-memory-mib 512 --max-price 0.10 --asset USD",
)
@click.argument("text", required=False, default="")
@click.option("--kind", type=click.Choice([one.value for one in OfferingKind]))
@click.option("--country", default="", help="Two letters.")
@click.option(
    "--asset", type=click.Choice([one.value for one in Asset]), help="What the price is in."
)
@click.option("--max-price", default="", help="Per hour, in major units; needs --asset.")
@click.option("--min-memory-mib", type=click.IntRange(0))
@click.option("--min-cpu", default="", help="Cores, such as 0.5.")
@click.option("--provider", default="", help="One provider's account id.")
@click.option("--all", "every", is_flag=True, help="Also what cannot be rented now.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_session
def search(
    session: Session,
    text: str,
    kind: str | None,
    country: str,
    asset: str | None,
    max_price: str,
    min_memory_mib: int | None,
    min_cpu: str,
    provider: str,
    every: bool,
    limit: int,
) -> None:
    """Find published offerings, cheapest first; TEXT looks in title and description."""
    if max_price and not asset:
        raise Invalid(
            "--max-price needs --asset: amounts of different assets are not compared", field="asset"
        )
    query = {
        "text": text,
        "kind": kind or "",
        "country": country.upper(),
        "asset": asset or "",
        "max_price_minor": str(parse_amount(max_price, Asset(asset), "max_price"))
        if max_price and asset
        else "",
        "min_memory_mib": str(min_memory_mib or ""),
        "min_cpu_milli": str(parse_cores(min_cpu, "min_cpu")) if min_cpu else "",
        "provider": provider,
    }
    found = _collect(
        session, {name: value for name, value in query.items() if value}, limit, every=every
    )
    if session.out.json:
        session.out.data(found)
        return
    session.out.table(
        ("OFFERING", "PROVIDER", "TITLE", "PRICE/H", "FREE", "CPU", "MEMORY", "WHERE", "RENTABLE"),
        (offering_row(one, own=False) for one in found.items),
        empty="nothing found; --all also shows what cannot be rented now",
    )


def _collect(session: Session, query: dict[str, str], limit: int, *, every: bool) -> OfferingsPage:
    """Read pages until there are enough."""
    items: list[OfferingView] = []
    cursor = ""
    while len(items) < limit:
        page = session.visitor.offerings.search(query | ({"cursor": cursor} if cursor else {}))
        items += [one for one in page.items if every or one.rentable]
        cursor = page.next
        if not cursor:
            break
    return OfferingsPage(items=tuple(items[:limit]), next=cursor)

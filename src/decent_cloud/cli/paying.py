"""What an order costs, how it is paid, and a person's yes to it."""

from __future__ import annotations

from decent_cloud.cli import words
from decent_cloud.cli.first_scripts import described
from decent_cloud.cli.session import Session
from decent_cloud.client.offerings import Quote
from decent_cloud.kernel.errors import Conflict, Invalid
from decent_cloud.wire.v1.contracts import PayWith

SANDBOX = "sandbox"
SANDBOX_CARD = "test-ok"


class TooExpensive(Conflict):
    """The total lies above --max-price; nothing was signed."""

    code = "too_expensive"


def agree(session: Session, quote: Quote, hours: int, *, max_price: str, yes: bool) -> None:
    """Show the total and go on only if it is within bounds and wanted.

    Errors: TooExpensive; Invalid where nobody can answer.
    """
    asset = quote.price_per_hour.asset
    total_minor = quote.total_minor(hours, session.account)
    total = words.minor(total_minor, asset)
    if max_price and total_minor > words.parse_amount(max_price, asset, "max_price"):
        raise TooExpensive(
            f"{total} lies above --max-price {max_price}; nothing was signed", field="max_price"
        )
    view = quote.view
    session.out.say(
        f"{view.title} by {view.provider_name} ({view.provider[:16]}…), offer version {view.n}"
    )
    if view.caution:
        session.out.say(f"caution: {view.driver} machines are for {view.caution}")
    if view.first_script is not None:
        session.out.say(f"before you get it, there runs {described(view.first_script)}")
    session.out.say(f"{hours} h x {quote.price_per_hour} = {total}")
    session.out.ask(f"Rent it for {total}?", yes=yes)


def payment(session: Session, quote: Quote, method: str, card: str) -> PayWith | None:
    """Return how to pay: as asked, else by the platform's only processor; nothing for one's own machine.

    Errors: Invalid naming the field.
    """
    if quote.offer.account_id == session.account:
        return None
    if not method:
        known = session.client.accounts.platform().processors
        if len(known) != 1:
            listed = ", ".join(("credit", "prepaid", *known))
            raise Invalid(f"say how you pay: --pay with one of {listed}", field="pay")
        method = known[0]
    # The sandbox's cards are fakes, and this one pays: nobody's money is taken by leaving it out.
    return PayWith(method=method, card=card or (SANDBOX_CARD if method == SANDBOX else ""))

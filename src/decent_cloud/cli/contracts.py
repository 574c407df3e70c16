"""`decent contracts`: what you rent, and what is rented of you."""

from __future__ import annotations

import sys

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.contract_view import show_contract, show_contracts, show_history
from decent_cloud.cli.paying import agree, payment
from decent_cloud.cli.progress import ENDED, Steps, follow
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.credentials import own_order
from decent_cloud.client.offerings import verified_quote
from decent_cloud.client.rentals import Extended, Wish, send, sign
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.status import ContractState
from decent_cloud.wire.v1.contracts import ContractsPage, ContractView

_reason = click.option("--reason", default="", help="For the history; the other side sees it.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.group("contracts")
def group() -> None:
    """What you rent, and what is rented of you."""


@group.command("list", cls=Leaf, example="decent contracts list --state active")
@click.option(
    "--role", type=click.Choice(["tenant", "provider"]), default="tenant", show_default=True
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([one.value for one in ContractState]),
    help="Only these (repeat).",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_session
def list_contracts(session: Session, role: str, states: tuple[str, ...], limit: int) -> None:
    """List your contracts, newest first."""
    found = collect(session, role, ",".join(states), limit)
    empty = "nothing rented yet: decent search" if role == "tenant" else "nothing is rented of you"
    show_contracts(session.out, found, session.now_ms(), empty)


@group.command("show", cls=Leaf, example="decent contracts show CONTRACT")
@click.argument("contract")
@pass_session
def show(session: Session, contract: str) -> None:
    """Show a contract: its state, whom it waits for, where every part of the money is."""
    show_contract(session.out, session.client.contracts.read(contract), session.now_ms())


@group.command("watch", cls=Leaf, example="decent contracts watch CONTRACT --until active")
@click.argument("contract")
@click.option(
    "--until",
    type=click.Choice([one.value for one in ContractState]),
    help="Stop there (or at the end).",
)
@pass_session
def watch(session: Session, contract: str, until: str | None) -> None:
    """Follow a contract's steps as they happen, until it ends."""

    def enough(state: ContractState) -> bool:
        return state in ENDED or state.value == until

    with Steps(session.out).shown() as steps:
        for step in follow(session.client.contracts, contract, enough):
            if session.out.json:
                session.out.data(step)
            else:
                steps.step(step)


@group.command("events", cls=Leaf, example="decent contracts events CONTRACT")
@click.argument("contract")
@pass_session
def events(session: Session, contract: str) -> None:
    """Show every step of a contract's life so far: when, what, by whom, why."""
    show_history(session.out, session.client.contracts.history(contract), session.now_ms())


@group.command("confirm", cls=Leaf, example="decent contracts confirm CONTRACT")
@click.argument("contract")
@pass_session
def confirm(session: Session, contract: str) -> None:
    """Say, as the tenant, that the machine answers: the paid time begins now."""
    show_contract(session.out, session.client.contracts.confirm(contract), session.now_ms())


@group.command("cancel", cls=Leaf, example="decent contracts cancel CONTRACT --reason 'done early'")
@click.argument("contract")
@_reason
@_yes
@pass_session
def cancel(session: Session, contract: str, reason: str, yes: bool) -> None:
    """End a contract, as the tenant: the machine goes, unused time is paid back."""
    _sure(session, f"Cancel {contract}? The machine and everything on it goes.", yes=yes)
    show_contract(session.out, session.client.contracts.cancel(contract, reason), session.now_ms())


@group.command(
    "terminate", cls=Leaf, example="decent contracts terminate CONTRACT --reason 'disk failure'"
)
@click.argument("contract")
@_reason
@_yes
@pass_session
def terminate(session: Session, contract: str, reason: str, yes: bool) -> None:
    """End a contract, as its provider: the tenant gets unused time back, and the stated penalty."""
    _sure(session, f"Terminate {contract}? The tenant loses the machine.", yes=yes)
    found = session.client.contracts.terminate(contract, reason)
    show_contract(session.out, found, session.now_ms())


@group.command("extend", cls=Leaf, example="decent contracts extend CONTRACT --hours 24")
@click.argument("contract")
@click.option("--hours", type=click.IntRange(1, 87_600), required=True, help="How much longer.")
@click.option("--pay", default="", help="credit, prepaid or a processor.")
@click.option("--card", default="", help="What the processor needs.")
@click.option("--max-price", default="", help="Refuse a higher total, in major units.")
@_yes
@pass_session
def extend(
    session: Session, contract: str, hours: int, pay: str, card: str, max_price: str, yes: bool
) -> None:
    """Add paid time to a contract, at the offering's present price; an order is signed for it."""
    view = session.client.contracts.read(contract)
    first = own_order(view, session.signer.chain)
    offering = session.client.offerings.read(view.offering)
    quote = verified_quote(offering, session.trust.chain(first.provider))
    agree(session, quote, hours, max_price=max_price, yes=yes)
    wish = Wish(hours, first.ssh_keys, payment(session, quote, pay, card), first.renew)
    extended = Extended(view.id, Digest(first.digest))
    order = sign(quote, wish, session.signer, session.now_ms(), extended)
    found = send(session.client.contracts, session.orders, order)
    session.out.say(
        f"{hours} h more for {words.minor(quote.total_minor(hours, session.account), quote.price_per_hour.asset)}"
    )
    show_contract(session.out, found, session.now_ms())


def collect(session: Session, role: str, state: str, limit: int) -> ContractsPage:
    """Read pages until there are enough contracts."""
    items: list[ContractView] = []
    cursor = ""
    while len(items) < limit:
        page = session.client.contracts.list(role, state, cursor, min(200, limit))
        items += page.items
        cursor = page.next
        if not cursor:
            break
    return ContractsPage(items=tuple(items[:limit]), next=cursor)


def _sure(session: Session, question: str, *, yes: bool) -> None:
    """Ask a person; a script that says cancel means it."""
    session.out.ask(question, yes=yes or not sys.stdin.isatty())

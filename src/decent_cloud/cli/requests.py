"""`decent requests`: orders that wait for the provider's word."""

from __future__ import annotations

import click

from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.contract_view import show_contract, show_contracts
from decent_cloud.cli.contracts import collect
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.kernel.status import ContractState


@click.group("requests")
def group() -> None:
    """Orders that wait for your word."""


@group.command("list", cls=Leaf, example="decent requests list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_session
def list_requests(session: Session, limit: int) -> None:
    """List paid orders that wait for your yes or no."""
    found = collect(session, "provider", ContractState.PENDING.value, limit)
    show_contracts(session.out, found, session.now_ms(), "no order waits for you")


@group.command("accept", cls=Leaf, example="decent requests accept CONTRACT")
@click.argument("contract")
@pass_session
def accept(session: Session, contract: str) -> None:
    """Take an order: an agent of the pool begins at once."""
    show_contract(session.out, session.client.contracts.accept(contract), session.now_ms())


@group.command("reject", cls=Leaf, example="decent requests reject CONTRACT --reason 'no room'")
@click.argument("contract")
@click.option("--reason", default="", help="The tenant sees it.")
@pass_session
def reject(session: Session, contract: str, reason: str) -> None:
    """Refuse an order; the tenant gets everything back."""
    show_contract(session.out, session.client.contracts.reject(contract, reason), session.now_ms())

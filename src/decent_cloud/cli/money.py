"""`decent balance`: what the ledger holds in your name."""

from __future__ import annotations

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session


@click.command("balance", cls=Leaf, example="decent balance")
@pass_session
def balance(session: Session) -> None:
    """Show what the platform holds, owes and has earned for you, per asset."""
    found = session.client.accounts.balances()
    if session.out.json:
        session.out.data(found)
        return
    session.out.table(
        ("ACCOUNT", "BALANCE"),
        ((one.account, words.amount(one.balance)) for one in found.balances),
        empty="nothing is held in your name",
    )

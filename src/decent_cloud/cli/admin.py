"""`decent admin`: what an operator's account may ask; granting it is done on the server's host."""

from __future__ import annotations

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.lazy import LazyGroup
from decent_cloud.cli.operator_prices import group as price
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.kernel.errors import Internal


class BooksDoNotBalance(Internal):
    """The ledger does not balance; stop the server and look at the log before anything else."""

    code = "books_do_not_balance"


@click.group("admin", cls=LazyGroup, promises={})
def group() -> None:
    """Prove the books; grant admin rights; set prices by hand."""


group.add_command(price)


@group.command("trial-balance", cls=Leaf, example="decent admin trial-balance")
@pass_session
def trial_balance(session: Session) -> None:
    """Prove the books: per asset, debits less credits are 0. Ends with 1 if they are not."""
    found = session.client.accounts.trial_balance()
    if session.out.json:
        session.out.data(found)
    else:
        session.out.table(
            ("ASSET", "DEBIT", "CREDIT", "DIFFERENCE"),
            (
                (
                    line.debit.asset.value,
                    words.amount(line.debit),
                    words.amount(line.credit),
                    words.amount(line.difference),
                )
                for line in found.lines
            ),
            empty="the ledger is empty",
        )
        session.out.table(
            ("ACCOUNT", "BALANCE"),
            ((one.account, words.amount(one.balance)) for one in found.accounts),
            empty=" ",
        )
        session.out.line(f"rebuilt from transfers: {'equal' if found.rebuilt else 'NOT equal'}")
    if not found.rebuilt or any(int(line.difference.amount_minor) for line in found.lines):
        raise BooksDoNotBalance

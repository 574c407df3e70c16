"""`decent creds`: open what an agent sealed for this account."""

from __future__ import annotations

import click

from decent_cloud.cli.access import access_rows, access_shape, open_access
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.first_scripts import log
from decent_cloud.cli.resets import reset
from decent_cloud.cli.rotate_ssh import rotate_ssh
from decent_cloud.cli.session import Session, pass_session


@click.group("creds")
def group() -> None:
    """Open what an agent sealed for you, and have new passwords and SSH keys put in."""


@group.command("show", cls=Leaf, example="decent creds show CONTRACT --reveal")
@click.argument("contract")
@click.option("--reveal", is_flag=True, help="Show the password or token too.")
@pass_session
def show(session: Session, contract: str, reveal: bool) -> None:
    """Fetch, open and verify the newest credential of CONTRACT.

    Its signer must be an agent in the provider's chain with a delegation for this pool; the order,
    the account and the number must be the expected ones. A doubt ends with exit code 3.
    """
    view = session.client.contracts.read(contract)
    credential = open_access(session, view)
    if session.out.json:
        session.out.data({"contract": view.id} | access_shape(credential, reveal=reveal))
        return
    session.out.fields([("contract", view.id), *access_rows(credential, reveal=reveal)])


group.add_command(reset)
group.add_command(rotate_ssh)
group.add_command(log)

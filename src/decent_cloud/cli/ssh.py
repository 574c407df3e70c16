"""`decent ssh`: the system's ssh with the signed host keys and no others."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from decent_cloud.cli.access import open_access, ssh_call
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.kernel.errors import Invalid, NotFound


@click.command("ssh", cls=Leaf, example="decent ssh CONTRACT\ndecent ssh CONTRACT -- uname -a")
@click.argument("contract")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-i",
    "--identity",
    type=click.Path(path_type=Path),
    help="The private key, if not the one used to rent.",
)
@click.option("--print", "print_only", is_flag=True, help="Print the ssh call and do not make it.")
@pass_session
def ssh(
    session: Session,
    contract: str,
    command: tuple[str, ...],
    identity: Path | None,
    print_only: bool,
) -> None:
    """Log in to CONTRACT, or run COMMAND in it; ssh takes no host key but the signed ones.

    A password is never on ssh's command line: see decent creds show CONTRACT --reveal.
    """
    view = session.client.contracts.read(contract)
    credential = open_access(session, view)
    if credential.access.password is None:
        raise Invalid("this machine is reached with a token, not by SSH", field="contract")
    call = [*ssh_call(session, view.id, credential.access, str(identity or "")), *command]
    if print_only:
        if session.out.json:
            session.out.data(call)
        else:
            session.out.line(shlex.join(call))
        return
    session.__exit__()  # exec keeps this process and its connections
    try:
        os.execvp("ssh", call)  # noqa: S606 - no shell in between
    except FileNotFoundError:
        raise NotFound("there is no ssh here; install openssh-client") from None

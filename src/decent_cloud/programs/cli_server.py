"""The commands of `decent` that run on the server's host: serve, and grant admin rights."""

from __future__ import annotations

import os
from pathlib import Path

import click

from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.kernel.status import ServerMode
from decent_cloud.programs import server
from decent_cloud.programs.server_settings import ServerSettings, read_settings


@click.command(
    "serve", cls=Leaf, example="decent serve --data /var/lib/decent --listen 127.0.0.1:8080"
)
@click.option("--data", metavar="DIR", help="Database and keys of this platform.")
@click.option(
    "--listen", metavar="HOST:PORT", help="Where to listen; port 0 lets the system choose."
)
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="The server's settings, a TOML file."
)
@click.option("--database", metavar="URL", help="sqlite:////path or postgresql://...")
@click.option(
    "--mode",
    type=click.Choice([one.value for one in ServerMode]),
    help="What the database was made for.",
)
@click.option(
    "--ready-file", type=click.Path(path_type=Path), help="Write the address here once it answers."
)
@click.option(
    "--ready-fd", type=int, help="Write the address to this file descriptor once it answers."
)
def serve(
    data: str | None,
    listen: str | None,
    file: Path | None,
    database: str | None,
    mode: str | None,
    ready_file: Path | None,
    ready_fd: int | None,
) -> None:
    """Run the platform's server until SIGINT or SIGTERM."""
    given = {"data": data, "listen": listen, "database": database, "mode": mode}
    server.run(_settings(file, given), ready_file=ready_file, ready_fd=ready_fd)


@click.command("grant", cls=Leaf, example="decent admin grant ACCOUNT --data /var/lib/decent")
@click.argument("account")
@click.option("--data", metavar="DIR", help="The platform's data folder.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="The server's settings, a TOML file."
)
@click.option("--database", metavar="URL", help="If it is not the one in the data folder.")
@click.option("--remove", is_flag=True, help="Take the rights away.")
@pass_session
def grant(
    session: Session,
    account: str,
    data: str | None,
    file: Path | None,
    database: str | None,
    remove: bool,
) -> None:
    """Make ACCOUNT an admin of the platform; works only on the server's host, on its data folder."""
    settings = _settings(file, {"data": data, "database": database})
    server.grant_admin(settings, account, admin=not remove)
    if session.out.json:
        session.out.data({"account": account, "admin": not remove})
        return
    session.out.line(f"{account} is {'no longer' if remove else 'now'} an admin")


def _settings(
    file: Path | None, given: dict[str, object] | dict[str, str | None]
) -> ServerSettings:
    return read_settings(file, os.environ, dict(given))

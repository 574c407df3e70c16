"""The `decent` program: the commands of `cli`, and those that run on the server's host."""

from __future__ import annotations

import click

from decent_cloud.cli.lazy import Promise
from decent_cloud.cli.root import cli


def _serve() -> click.Command:
    from decent_cloud.programs.cli_server import serve

    return serve


def _admin() -> click.Command:
    from decent_cloud.cli.admin import group

    # Only `grant` needs the server's libraries, which take seconds to load.
    group.promises = {"grant": Promise("Make an account an operator's.", _grant)}
    return group


def _grant() -> click.Command:
    from decent_cloud.programs.cli_server import grant

    return grant


cli.promises = {
    **cli.promises,
    "admin": Promise("Prove the books; grant admin rights; set prices by hand.", _admin),
    "serve": Promise("Run the platform's server.", _serve),
}


def main() -> None:
    """Run the command line."""
    cli.main(prog_name="decent")


__all__ = ["cli", "main"]

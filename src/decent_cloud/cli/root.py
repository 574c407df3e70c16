"""The command's root: shared options, the list of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from decent_cloud.cli import errors
from decent_cloud.cli.lazy import LazyGroup, load, promised
from decent_cloud.cli.settings import Globals
from decent_cloud.client.exit_codes import exit_code
from decent_cloud.kernel.errors import DecentError

_HERE = "decent_cloud.cli"

PROMISES = {
    "account": promised(f"{_HERE}.account:group", "Make and show your account."),
    "provider": promised(f"{_HERE}.provider:provider", "Become a provider."),
    "pool": promised(f"{_HERE}.provider:pool", "Places where your agents run machines."),
    "setup-token": promised(f"{_HERE}.agents:setup_token", "Let a new agent join a pool."),
    "agents": promised(f"{_HERE}.agents:agents", "Your agents: list, approve, revoke."),
    "offering": promised(f"{_HERE}.offering:group", "Describe, sign and publish what you offer."),
    "requests": promised(f"{_HERE}.requests:group", "Orders that wait for your word."),
    "search": promised(f"{_HERE}.search:search", "Find a machine."),
    "rent": promised(f"{_HERE}.rent:rent", "Rent a machine and wait until it answers."),
    "contracts": promised(f"{_HERE}.contracts:group", "What you rent, and what is rented of you."),
    "creds": promised(
        f"{_HERE}.creds:group",
        "Open what an agent sealed for you, and have new passwords and SSH keys put in.",
    ),
    "ssh": promised(f"{_HERE}.ssh:ssh", "Log in, with the signed host key pinned."),
    "balance": promised(f"{_HERE}.money:balance", "What the platform holds in your name."),
    "prices": promised(f"{_HERE}.prices:prices", "What tokens cost, and who says so."),
    "quote": promised(f"{_HERE}.prices:quote", "Lock a token's price for ten minutes."),
    "completion": promised(f"{_HERE}.completion:completion", "Print shell completion code."),
}


class Root(LazyGroup):
    """The group that ends the program."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; every error leaves a message and its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        before = given[: given.index("--")] if "--" in given else given
        as_json = "--json" in before
        run = super().main
        if not standalone_mode:
            return run(given, prog_name, complete_var, standalone_mode=False, **extra)
        sys.exit(
            _ended(lambda: run(given, prog_name or "decent", complete_var, False, **extra), as_json)
        )


def _ended(run: Callable[[], Any], as_json: bool) -> int:
    """Return the exit code of a whole run."""
    try:
        result = run()
    except DecentError as error:
        errors.show(error, as_json=as_json)
        return exit_code(error)
    except click.ClickException as error:
        errors.show_usage(error, as_json=as_json)
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return errors.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        click.echo(f"error: {error.strerror or error}: {error.filename or ''} [system]", err=True)
        return 1
    return result if isinstance(result, int) else 0


def _show_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"decent {load('importlib.metadata:version')('decent-cloud')}")
        ctx.exit()


@click.group(
    cls=Root,
    promises=PROMISES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: decent search --min-memory-mib 512",
)
@click.option("--profile", envvar="DECENT_PROFILE", default="default", help="Which profile to use.")
@click.option("--config", metavar="FILE", default="", help="The config file (also DECENT_CONFIG).")
@click.option(
    "--platform",
    metavar="URL",
    envvar="DECENT_PLATFORM",
    default="",
    help="The platform's address, if not the profile's.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on stdout, errors as JSON on stderr."
)
@click.option("--no-color", is_flag=True, help="No colours (also NO_COLOR).")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(
    ctx: click.Context,
    profile: str,
    config: str,
    platform: str,
    as_json: bool,
    no_color: bool,
    quiet: bool,
) -> None:
    """Rent real machines, or rent out yours, with keys of your own."""
    ctx.obj = Globals(
        profile=profile,
        config=config,
        platform=platform,
        json=as_json,
        color=not no_color and not os.environ.get("NO_COLOR"),
        quiet=quiet,
    )

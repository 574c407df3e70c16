"""What every leaf command has: an example in its help, and `--json` after its name too."""

from __future__ import annotations

from typing import Any

import click

from decent_cloud.cli.settings import Globals


class Leaf(click.Command):
    """A command that does something; `example` is shown at the end of its help."""

    def __init__(self, *args: Any, example: str, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.example = example
        self.params.append(
            click.Option(
                ["--json", "json_too"],
                is_flag=True,
                expose_value=False,
                callback=_also_json,
                help="Print JSON.",
            )
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the example."""
        with formatter.section("Example"):
            for line in self.example.splitlines():
                # Not wrapped: people copy it.
                formatter.write(f"  {line}\n")


def _also_json(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        ctx.ensure_object(Globals).json = True

"""`decent completion`: code that a shell reads to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from decent_cloud.cli.commands import Leaf
from decent_cloud.kernel.errors import Invalid

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Leaf,
    example="decent completion bash >> ~/.bash_completion\n"
    "decent completion fish > ~/.config/fish/completions/decent.fish",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print completion code for SHELL."""
    found = get_completion_class(shell)
    if found is None:
        raise Invalid(f"no completion for {shell}", field="shell")
    root = ctx.find_root().command
    click.echo(found(root, {}, "decent", "_DECENT_COMPLETE").source())

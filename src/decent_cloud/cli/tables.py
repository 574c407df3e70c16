"""Tables for people, drawn with rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from decent_cloud.cli.output import shown

PIPED_WIDTH = 400


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, color: bool) -> None:
    """Print rows under their headings; what is piped elsewhere is never cut."""
    piped = not sys.stdout.isatty()
    console = Console(no_color=not color, highlight=False, width=PIPED_WIDTH if piped else None)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=piped)
    for row in rows:
        # Text, not str: a title with square brackets is no markup.
        table.add_row(*(Text(shown(cell)) for cell in row))
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        click.echo(line.rstrip())

"""What a command prints: results on stdout, as JSON or for a person; progress and questions on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from decent_cloud.cli import lazy
from decent_cloud.cli.settings import Globals
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid


class Output:
    """The two streams of one command."""

    def __init__(self, settings: Globals) -> None:
        self._settings = settings

    @property
    def json(self) -> bool:
        """Whether a program reads stdout."""
        return self._settings.json

    @property
    def live(self) -> bool:
        """Whether stderr can be redrawn."""
        return sys.stderr.isatty() and not self._settings.quiet and not self.json

    @property
    def color(self) -> bool:
        return self._settings.color

    def data(self, value: object) -> None:
        """Print one JSON value on a line of its own."""
        click.echo(codec.to_json(value))
        sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """Print a line of the result."""
        click.echo(text)

    def say(self, text: str) -> None:
        """Print a line of progress."""
        if not self._settings.quiet:
            click.echo(text, err=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str = "") -> None:
        """Print a table, or `empty` on stderr if it has no rows."""
        lines = list(rows)
        if not lines:
            self.say(empty or "nothing found")
            return
        lazy.load("decent_cloud.cli.tables:print_table")(columns, lines, color=self.color)

    def fields(self, rows: Iterable[tuple[str, str]]) -> None:
        """Print names and values, one a line."""
        lines = [(name, shown(value)) for name, value in rows]
        width = max(len(name) for name, _ in lines)
        for name, value in lines:
            click.echo(f"{name:<{width}}  {value}".rstrip())

    def ask(self, question: str, *, yes: bool) -> None:
        """Go on only with a person's yes. Errors: Invalid where nobody can answer; click.Abort for a no."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise Invalid(f"{question} Nobody can answer here: add --yes to agree", field="yes")
        click.confirm(question, abort=True, err=True)


def shown(text: str) -> str:
    """Return text from elsewhere without what would drive the terminal."""
    return "".join(one if one.isprintable() else "�" for one in text)

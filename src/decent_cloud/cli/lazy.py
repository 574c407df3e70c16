"""Loads commands, and libraries that only some commands need, when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Promise:
    """A command that is loaded when it is run; `help` is its one line in the list."""

    help: str
    load: Callable[[], click.Command]


def load(place: str) -> Any:
    """Return `module:name`."""
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


def promised(place: str, text: str) -> Promise:
    """Promise the command at `module:name`."""
    return Promise(text, lambda: load(place))


class LazyGroup(click.Group):
    """A group whose list of commands costs nothing: promises first, then what is loaded already."""

    def __init__(self, *args: Any, promises: Mapping[str, Promise], **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.promises = promises

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of a person's journey."""
        return [*self.promises, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        promise = self.promises.get(cmd_name)
        return promise.load() if promise else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        rows = [(name, promise.help) for name, promise in self.promises.items()]
        rows += [(name, here.get_short_help_str()) for name, here in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

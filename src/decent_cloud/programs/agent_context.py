"""What every `dc-agent` command shares: the settings file, the journal, answers and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import click

from decent_cloud.agent.journal import Journal
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.settings import AgentSettings, read_settings
from decent_cloud.client.exit_codes import exit_code
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import DecentError

DEFAULT_CONFIG = "/etc/dc-agent/agent.toml"


@dataclass(frozen=True, slots=True)
class Context:
    """Where the settings are and how to answer; errors end the program with their kind's code."""

    config: Path
    json: bool

    def settings(self) -> AgentSettings:
        return read_settings(self.config)

    @contextmanager
    def journal(self, settings: AgentSettings) -> Iterator[Journal]:
        Path(settings.data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        journal = SqliteJournal(settings.journal)
        try:
            yield journal
        finally:
            journal.close()

    def show(self, value: object, text: str) -> None:
        """Print a result."""
        click.echo(codec.to_json(value) if self.json else text)

    def fail(self, error: DecentError) -> int:
        """Print an error to stderr and return the exit code."""
        if self.json:
            fields = {name: str(value) for name, value in error.details.items()}
            body = {"code": error.code, "kind": error.kind.value, "message": error.message}
            click.echo(json.dumps({"error": {**body, "details": fields}}), err=True)
        else:
            click.echo(f"error: {error.message} ({error.code})", err=True)
        return exit_code(error)


def answered(command: Callable[..., None]) -> Callable[..., None]:
    """Hand over the context, and turn errors into words and an exit code."""

    @wraps(command)
    def run(*, as_json: bool, **given: object) -> None:
        found = click.get_current_context().find_object(Context)
        context = found or Context(Path(DEFAULT_CONFIG), json=False)
        if as_json:
            context = Context(context.config, json=True)
        try:
            command(context, **given)
        except DecentError as error:
            sys.exit(context.fail(error))

    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(run)

"""The `dc-agent` command: makes its key, registers, runs, examines itself, shows its journal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from decent_cloud.agent.daemon import Agent, Parts, lock_data_dir
from decent_cloud.agent.doctor import Patient, examine
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.keys import load_keys, make_keys
from decent_cloud.agent.register import Registrar
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.agent.status import Status, read_status
from decent_cloud.client.statements import from_wire, to_wire
from decent_cloud.drivers import registry
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import HOUR_MS, SystemClock, rfc3339
from decent_cloud.kernel.errors import AlreadyExists, Invalid, NotFound
from decent_cloud.programs import agent_auto, logging, surroundings
from decent_cloud.programs.agent_breaker import release_breaker
from decent_cloud.programs.agent_conformance import conformance
from decent_cloud.programs.agent_context import DEFAULT_CONFIG, Context, answered
from decent_cloud.programs.agent_manual import manual, waiting_lines
from decent_cloud.programs.agent_reset import reset_password
from decent_cloud.programs.agent_rotate import rotate_key
from decent_cloud.programs.agent_service import install_service
from decent_cloud.programs.agent_setup import setup
from decent_cloud.programs.agent_trial import test_provision
from decent_cloud.wire.v1.accounts import ChainView
from decent_cloud.wire.v1.agents import AgentSelf
from decent_cloud.wire.v1.statements import StatementWire

UNWELL = 1  # what `doctor` ends with when a check failed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="DC_AGENT_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The agent's settings file.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.version_option(package_name="decent-cloud")
@click.pass_context
def cli(context: click.Context, config: Path, as_json: bool) -> None:
    """Make, watch and remove the machines that a provider rents out.

    First steps: dc-agent init; dc-agent register CODE; dc-agent doctor; dc-agent run.
    """
    surroundings.name_user()
    context.obj = Context(config, as_json)


@cli.command()
@answered
def init(context: Context) -> None:
    """Make this agent's own key. An existing one is kept.

    Example: dc-agent init
    """
    settings = context.settings()
    try:
        keys, made = make_keys(settings.key_file), True
    except AlreadyExists:
        keys, made = load_keys(settings.key_file), False
    text = f"{'made' if made else 'kept'} the key of agent {keys.kid} in {settings.key_file}"
    context.show({"agent": keys.kid, "made": made, "key_file": str(settings.key_file)}, text)


@cli.command()
@click.argument("code", required=False)
@click.option("--wait", "wait_s", default=600.0, show_default=True, help="Seconds to wait.")
@click.option("--offline", is_flag=True, help="Write a link for the provider to co-sign.")
@click.option("--chain", type=click.Path(exists=True, path_type=Path), help="The provider's chain.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the link.")
@click.option("--accept", type=click.Path(exists=True, path_type=Path), help="The co-signed link.")
@answered
def register(
    context: Context,
    code: str | None,
    wait_s: float,
    offline: bool,
    chain: Path | None,
    out: Path | None,
    accept: Path | None,
) -> None:
    """Join a provider with a setup token, or offline with files.

    The provider makes the token with: decent setup-token create --pool POOL --wait

    \b
    Examples: dc-agent register 7KQF2-M9XPD-3AWZ6-T8RHC
              dc-agent register --offline --chain chain.json --out add.json
              dc-agent register --accept cosigned.json
    """  # noqa: D301 - click wants the character itself
    settings, _ = agent_auto.chosen(context.settings())
    keys = load_keys(settings.key_file)
    with context.journal(settings) as journal:
        say = _say if not context.json else _hush
        registrar = Registrar(settings, keys, journal, SystemClock(), say, wait_s)
        if offline:
            _write_link(context, registrar, chain, out)
        elif accept is not None:
            link = codec.from_json(accept.read_bytes(), StatementWire)
            _show_registered(context, registrar.accept(from_wire(link)))
        elif code:
            _show_registered(context, registrar.by_code(code))
        else:
            raise Invalid("give the setup token, or --offline, or --accept", field="code")


def _write_link(
    context: Context, registrar: Registrar, chain: Path | None, out: Path | None
) -> None:
    if chain is None or out is None:
        raise Invalid("--offline needs --chain FILE and --out FILE", field="offline")
    link = registrar.offline_link(codec.from_json(chain.read_bytes(), ChainView))
    out.write_bytes(codec.to_json(to_wire(link)) + b"\n")
    text = (
        f"wrote {out}; the provider runs: decent agents approve --file {out} --pool POOL\n"
        "then run here: dc-agent register --accept FILE"
    )
    context.show({"agent": registrar.keys.kid, "out": str(out)}, text)


def _show_registered(context: Context, me: AgentSelf) -> None:
    context.show(me, f"registered: agent {me.agent} in pool {me.pool} of provider {me.provider}")


@cli.command()
@answered
def run(context: Context) -> None:
    """Work until SIGTERM; running steps are then finished first.

    Example: dc-agent --config /etc/dc-agent/agent.toml run
    """
    settings = context.settings()
    logging.configure(
        "json" if context.json or not sys.stderr.isatty() else "console", settings.log_level
    )
    settings = agent_auto.announced(settings)
    keys = load_keys(settings.key_file)
    lock_data_dir(settings.lock_file)
    with context.journal(settings) as journal:
        driver = registry.load(settings.driver, settings.driver_settings, journal.fact(PLATFORM_ID))
        agent = Agent(settings, Parts(keys, journal, driver))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: agent.stop())
        drained = agent.run()
    if not drained:
        # A driver's call that hangs must not keep the program: the journal has where it stands.
        os._exit(0)


@cli.command()
@click.option(
    "--verify-api",
    is_flag=True,
    help="Compare every published offering of the pool with the backend's live catalogue too.",
)
@answered
def doctor(context: Context, verify_api: bool) -> None:
    """Try everything the agent needs and say how to cure what fails; exit code 1 if something does.

    \b
    Examples: dc-agent doctor
              dc-agent doctor --verify-api --json
    """  # noqa: D301 - click wants the character itself
    settings, choice = agent_auto.examined(context.settings())
    checks = choice + examine(
        Patient(
            settings,
            keys=lambda: load_keys(settings.key_file),
            journal=lambda: _existing(settings),
            driver=lambda id_: registry.load(settings.driver, settings.driver_settings, id_),
            verify_api=verify_api,
        )
    )
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.detail}")
        if not check.passed and check.cure:
            lines.append(f"      cure: {check.cure}")
    well = all(check.passed for check in checks)
    context.show({"well": well, "checks": checks}, "\n".join(lines))
    if not well:
        sys.exit(UNWELL)


def _existing(settings: AgentSettings) -> SqliteJournal:
    if not Path(settings.data_dir).is_dir():
        raise NotFound(f"there is no folder {settings.data_dir}; run: dc-agent init")
    return SqliteJournal(settings.journal)


@cli.command()
@click.option("--ended", is_flag=True, help="Show ended contracts too.")
@answered
def status(context: Context, ended: bool) -> None:
    """Show the journal: instances, reports that wait, quarantine, alarms.

    Example: dc-agent status --json
    """
    settings = context.settings()
    keys = load_keys(settings.key_file)
    with contextlib.closing(_existing(settings)) as journal:
        found = read_status(journal, keys.kid, SystemClock().now_ms(), ended_too=ended)
    context.show(found, "\n".join([_status_text(found), *waiting_lines(settings)]))


def _status_text(found: Status) -> str:
    lines = [
        f"agent     {found.agent}",
        f"platform  {found.platform or 'not registered'} ({found.platform_id[:12]})",
        f"provider  {found.provider}  pool {found.pool}",
        f"backend   {found.backend or 'not known yet'}",
        f"contact   {found.last_contact or 'never'}, log entry {found.log_seq}",
    ]
    lines += [f"ALARM     {alarm.name}: {alarm.text}" for alarm in found.alarms]
    for one in found.instances:
        line = f"instance  {one.contract} {one.stage}, wanted {one.wanted} {one.address}".rstrip()
        lines.append(line + (f"  ({one.last_error}; try {one.tries})" if one.last_error else ""))
    for report in found.reports:
        state = "refused" if report.refused else f"tried {report.tries} times"
        lines.append(f"report    {report.key} since {report.since}: {state} {report.last_error}")
    for aside in found.quarantine:
        age_h = (found.now_ms - aside.first_seen_ms) / HOUR_MS
        lines.append(
            f"aside     {aside.contract} {aside.instance}: {aside.reason}"
            f" (since {rfc3339(aside.first_seen_ms)}, {age_h:.1f} machine hours)"
        )
    return "\n".join(lines)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script.

    Example: dc-agent completion bash > /etc/bash_completion.d/dc-agent
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(found(cli, {}, "dc-agent", "_DC_AGENT_COMPLETE").source())


cli.add_command(manual)
cli.add_command(conformance)
cli.add_command(reset_password)
cli.add_command(release_breaker)
cli.add_command(setup)
cli.add_command(test_provision)
cli.add_command(install_service)
cli.add_command(rotate_key)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _hush(_text: str) -> None:
    """A program reads; it gets the result only."""


def main() -> None:
    """Run the command."""
    cli(prog_name="dc-agent")


if __name__ == "__main__":
    main()

"""`dc-agent conformance`: the kit against the provider's own account, with what it costs, and cleaned up."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.account import Account, clean
from decent_cloud.drivers.conformance.results import Results
from decent_cloud.drivers.contract import Driver
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.programs.agent_context import Context, answered

UNWELL = 1
_MACHINES = 45
_STDERR = 2  # results alone go to standard output
_KEPT = 12  # digits of the tag


@click.command()
@click.argument("driver")
@click.option("--image", required=True, help="An image that offerings may name.")
@click.option("--cpu-milli", default=1_000, show_default=True, type=click.IntRange(1))
@click.option("--memory-mib", default=512, show_default=True, type=click.IntRange(1))
@click.option("--disk-gib", default=10, show_default=True, type=click.IntRange(1))
@click.option(
    "--setting", "settings", multiple=True, metavar="NAME=VALUE", help="An offering's setting."
)
@click.option(
    "--only", default="", metavar="TEXT", help="Only tests whose names match (pytest -k)."
)
@click.option(
    "--poll-s", default=5.0, show_default=True, help="Seconds between looks at a slow state."
)
@click.option("--no-ssh", is_flag=True, help="Do not look at the machines' host keys.")
@click.option("--clean", "only_clean", is_flag=True, help="Only remove what an earlier run left.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@answered
def conformance(
    context: Context,
    driver: str,
    image: str,
    cpu_milli: int,
    memory_mib: int,
    disk_gib: int,
    settings: tuple[str, ...],
    only: str,
    poll_s: float,
    no_ssh: bool,
    only_clean: bool,
    yes: bool,
) -> None:
    """Try the driver in your own account. This makes real machines, which may cost money.

    They carry a tag of their own, are few at one time, and are removed at the end, also after Ctrl-C.
    Machines of tenants are not touched.

    Example: dc-agent conformance hetzner --image debian-12
    """
    found = context.settings()
    _check(found, driver)
    account = Account(
        driver=driver,
        driver_settings=found.driver_settings,
        platform=_tag(found),
        image=image,
        cpu_milli=cpu_milli,
        memory_mib=memory_mib,
        disk_gib=disk_gib,
        settings=_pairs(settings),
        ssh=not no_ssh,
        poll_s=poll_s,
    )
    used = registry.load(driver, found.driver_settings, account.platform)
    try:
        if not only_clean and not yes:
            _ask(used, account)
        results, left = _run_and_clean(used, account, only, only_clean=only_clean)
    finally:
        used.close()
    context.show({"tag": account.platform, "left": left, "results": results}, _text(results, left))
    if left or (results is not None and results.code):
        sys.exit(UNWELL)


def _run_and_clean(
    used: Driver, account: Account, only: str, *, only_clean: bool
) -> tuple[Results | None, tuple[str, ...]]:
    """Run the kit and remove all that it left, whatever became of it."""
    results = None
    try:
        if not only_clean:
            results = _run(account, only)
    finally:
        left = clean(used, min(account.poll_s, 2.0))
        if left:
            click.echo(f"still there: {'; '.join(left)}", err=True)
    return results, left


def _run(account: Account, only: str) -> Results:
    """Run the kit in a process of its own; settings reach it on standard input."""
    with tempfile.TemporaryDirectory(prefix="dc-conformance-") as folder:
        file = Path(folder) / "results.json"
        command = [sys.executable, "-m", "decent_cloud.drivers.conformance", str(file)]
        command += ["-k", only] if only else []
        subprocess.run(command, input=codec.to_json(account), stdout=_STDERR, check=False)
        return (
            codec.from_json(file.read_bytes(), Results) if file.exists() else Results(code=UNWELL)
        )


def _check(settings: AgentSettings, driver: str) -> None:
    if settings.driver != driver:
        raise Invalid(
            f"the settings are for the driver {settings.driver!r}; give another file with --config",
            field="driver",
        )
    if find_spec("pytest") is None:
        raise NotFound(
            "the kit needs pytest; install it with: pip install 'decent-cloud[conformance]'"
        )


def _tag(settings: AgentSettings) -> str:
    """Return this agent's tag for tries: always the same, so that the next run finds what one left."""
    kid = load_keys(settings.key_file).kid
    return "conformance" + hashlib.sha256(kid.encode()).hexdigest()[:_KEPT]


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in settings]
    if not all(name and sign for name, sign, _ in pairs):
        raise Invalid("write NAME=VALUE", field="setting")
    return {name: value for name, _, value in pairs}


def _ask(driver: Driver, account: Account) -> None:
    click.echo(
        f"This makes up to {_MACHINES} machines, two at one time, each {account.cpu_milli} thousandths "
        f"of a CPU, {account.memory_mib} MiB, {account.disk_gib} GiB, image {account.image},\n"
        f"on {driver.describe().backend} ({driver.scope()}).\n"
        f"Your provider may bill each of them, often for a whole hour. They carry the tag "
        f"{account.platform} and are removed at the end.",
        err=True,
    )
    if not sys.stdin.isatty():
        raise Invalid("nobody can be asked here; add --yes", field="yes")
    if not click.confirm("Go on?", err=True):
        raise Invalid("nothing was made", field="yes")


def _text(results: Results | None, left: tuple[str, ...]) -> str:
    lines = []
    if results is not None:
        lines = [f"FAIL  {e.name}: {e.why}" for e in results.outcomes if e.outcome == "failed"]
        lines.append(
            f"{results.count('passed')} passed, {results.count('failed')} failed, "
            f"{results.count('skipped')} skipped"
        )
    lines.append(f"{len(left)} things are still there" if left else "nothing is left behind")
    return "\n".join(lines)

"""`dc-agent test-provision`: a machine made, entered, reset and removed, without the platform and with times."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
from collections.abc import Iterator

import click

from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.agent.trial import Trial, TrialPlan, TrialResult, TrialStep, usual_image
from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.account import clean
from decent_cloud.drivers.contract import Plan
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.programs import agent_auto
from decent_cloud.programs.agent_context import Context, answered

UNWELL = 1
_KEPT_DIGITS = 12
_USER_SETTING = "user"


@click.command("test-provision")
@click.option("--image", default="", help="An image that offerings may name; usual: the first one.")
@click.option("--cpu-milli", default=1_000, show_default=True, type=click.IntRange(1))
@click.option("--memory-mib", default=512, show_default=True, type=click.IntRange(1))
@click.option("--disk-gib", default=10, show_default=True, type=click.IntRange(1))
@click.option(
    "--setting", "pairs", multiple=True, metavar="NAME=VALUE", help="An offering's setting."
)
@click.option("--wait", "wait_s", default=600.0, show_default=True, help="Seconds for each step.")
@click.option("--keep", is_flag=True, help="Leave the machine; remove it later with --clean.")
@click.option("--clean", "only_clean", is_flag=True, help="Only remove what earlier tries left.")
@answered
def test_provision(
    context: Context,
    image: str,
    cpu_milli: int,
    memory_mib: int,
    disk_gib: int,
    pairs: tuple[str, ...],
    wait_s: float,
    keep: bool,
    only_clean: bool,
) -> None:
    """Make one real machine, log in, reset its password, remove it; it may cost what an hour costs.

    The platform is not asked, and machines of tenants are not touched. Nothing is left behind, also
    after Ctrl-C; what cannot be removed is named. Exit code 1 if a step failed.

    Example: dc-agent test-provision --image debian-12
    """
    settings, _ = agent_auto.chosen(context.settings())
    tag = _tag(settings)
    driver = registry.load(settings.driver, settings.driver_settings, tag)
    try:
        if only_clean:
            left = clean(driver)
            context.show({"left": left}, _left_text(left))
            sys.exit(UNWELL if left else 0)
        image = image or usual_image(settings.driver, settings.driver_settings)
        if not image:
            raise Invalid("say which image to try with --image", field="image")
        given = _pairs(pairs)
        plan = TrialPlan(
            platform=tag,
            machine=Plan(image, cpu_milli, memory_mib, disk_gib, given),
            user=given.get(_USER_SETTING, "root"),
            data_dir=settings.data_dir,
            public_host=settings.public_host,
            wait_s=wait_s,
            lag_ms=settings.read_lag_ms,
            taken=_reserved(settings),
            keep=keep,
        )
        say = _hush if context.json else _say
        with _terminable():
            result = Trial(driver, plan, say).run()
    finally:
        driver.close()
    context.show(result, _text(result))
    if not result.passed:
        sys.exit(UNWELL)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the try as Ctrl-C does: cleaned up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tag(settings: AgentSettings) -> str:
    """Return this agent's tag for tries, always the same, so that --clean finds what one left."""
    try:
        name = str(load_keys(settings.key_file).kid)
    except NotFound:
        name = settings.data_dir  # before `init`: the folder stands for the agent
    return "trial" + hashlib.sha256(name.encode()).hexdigest()[:_KEPT_DIGITS]


def _reserved(settings: AgentSettings) -> frozenset[int]:
    if not settings.journal.exists():
        return frozenset()
    with contextlib.closing(SqliteJournal(settings.journal)) as journal:
        return frozenset(journal.ports())


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in settings]
    if not all(name and sign for name, sign, _ in pairs):
        raise Invalid("write NAME=VALUE", field="setting")
    return {name: value for name, _, value in pairs}


def _say(step: TrialStep) -> None:
    mark = "ok  " if step.passed else "FAIL"
    click.echo(f"{mark}  {step.name:8} {step.took_ms / 1_000:7.2f} s  {step.detail}")


def _hush(_step: TrialStep) -> None:
    """A program reads; it gets the result only."""


def _text(result: TrialResult) -> str:
    total_ms = sum(step.took_ms for step in result.steps)
    lines = [f"{'works' if result.passed else 'does not work'}, {total_ms / 1_000:.2f} s in all"]
    if result.kept:
        lines.append(
            f"kept: dc-{result.kept}; remove it with: dc-agent test-provision --clean\n"
            "(the agent's management.key opens it)"
        )
    else:
        lines.append(_left_text(result.left))
    return "\n".join(lines)


def _left_text(left: tuple[str, ...]) -> str:
    if not left:
        return "nothing is left behind"
    return "\n".join(["still there, remove by hand or with --clean:", *(f"  {e}" for e in left)])

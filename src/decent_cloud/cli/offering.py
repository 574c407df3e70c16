"""`decent offering`: describe a machine, sign its terms, put it on offer, take it off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.drafts import AskedOfferings, draft_of, read_file
from decent_cloud.cli.first_scripts import fields_of, with_text
from decent_cloud.cli.offering_view import offering_row, show_offering, show_terms
from decent_cloud.cli.plan_word import WAIT_S, wait_for_word
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.offerings import asked_terms, check_terms, terms_hash
from decent_cloud.client.statements import to_wire
from decent_cloud.domain.keys.offers import Offer, sign_offer
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import OfferingId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import (
    AcceptMode,
    OfferingKind,
    OnScriptFailure,
    PlanState,
    Visibility,
)
from decent_cloud.wire.v1.offerings import (
    OfferingDraft,
    OfferingsPage,
    OfferingView,
    PublishOffering,
)

F = TypeVar("F", bound=Callable[..., Any])

# option, its field, its type, its help
_FLAGS: tuple[tuple[str, Any, str], ...] = (
    ("--title", str, "What tenants read first."),
    ("--kind", click.Choice([one.value for one in OfferingKind]), "What kind of machine."),
    ("--pool", str, "The pool's name or id."),
    ("--image", str, "The image, as the driver knows it."),
    ("--cpu", str, "Cores, such as 0.5."),
    ("--memory-mib", int, "Memory."),
    ("--disk-gib", int, "Disk; 0 promises none."),
    ("--country", str, "Two letters, such as DE."),
    ("--region", str, "Where in the country."),
    ("--price-per-hour", str, "In major units, such as 0.05."),
    ("--asset", click.Choice([one.value for one in Asset]), "What the price is in."),
    ("--stock", int, "How many at the same time."),
    ("--description", str, "More words."),
    ("--min-hours", int, "Shortest rental."),
    ("--max-hours", int, "Longest rental."),
    (
        "--accept-mode",
        click.Choice([one.value for one in AcceptMode]),
        "manual: you say yes to each order.",
    ),
    ("--visibility", click.Choice([one.value for one in Visibility]), "Who may see it."),
    ("--provision-timeout-s", int, "How long delivery may take."),
    ("--penalty-ppm", int, "Extra part of the refund, in millionths, if you end early."),
    ("--reset", bool, "Promise new passwords on request: true (usual) or false."),
    (
        "--first-script-file",
        str,
        "Runs once in each new machine before its tenant gets it; '' for none.",
    ),
    ("--first-script-timeout-s", int, "How long it may run; usual: 600."),
    (
        "--first-script-on-failure",
        click.Choice([one.value for one in OnScriptFailure]),
        "What becomes of a machine in which it failed; usual: hand_over.",
    ),
    ("--management-key", bool, "Say that the agent keeps an SSH key of its own in the machine."),
)


def _draft_options(command: F) -> F:
    """Add --file, a flag for each field, --setting and --allow."""
    command = click.option(
        "--allow",
        "allow",
        multiple=True,
        help="An account that may see a shared offering (repeat).",
    )(command)
    command = click.option(
        "--setting",
        "setting",
        multiple=True,
        metavar="NAME=VALUE",
        help="For the driver; only you see it (repeat).",
    )(command)
    for name, kind, text in reversed(_FLAGS):
        command = click.option(name, type=kind, help=text)(command)
    return click.option(
        "--file",
        "file",
        type=click.Path(path_type=Path),
        help="A TOML file with these fields; flags win.",
    )(command)


@click.group("offering")
def group() -> None:
    """Describe, sign and publish what you offer."""


@group.command(
    "create",
    cls=Leaf,
    example="decent offering create --file small.toml\n"
    "decent offering create --title Small --kind container --pool basement --image tiny --cpu 0.5 "
    "--memory-mib 256 --disk-gib 0 --country DE --price-per-hour 0.05 --asset USD --stock 4",
)
@_draft_options
@click.option("--publish", "publish_too", is_flag=True, help="Sign and publish it at once.")
@pass_session
def create(session: Session, /, publish_too: bool, **fields: Any) -> None:
    """Draft an offering from a file, flags, or both; nobody else sees a draft."""
    draft = _draft(session, fields)
    found = session.client.offerings.create(draft)
    _asked(session).put(found.id, draft)
    if publish_too:
        found = wait_for_word(session, _publish(session, found, yes=True), WAIT_S)
    _result(session, found, "" if publish_too else f"next: decent offering publish {found.id}")


@group.command(
    "update", cls=Leaf, example="decent offering update OFFERING --file small.toml --stock 8"
)
@click.argument("offering")
@_draft_options
@pass_session
def update(session: Session, /, offering: str, **fields: Any) -> None:
    """Change an offering; what is not given stays. New terms need a new publish."""
    before = session.client.offerings.read(offering)
    draft = _draft(session, fields, before)
    found = session.client.offerings.change(offering, draft)
    _asked(session).put(found.id, draft)
    hint = "" if found.state.value == "published" else f"next: decent offering publish {found.id}"
    _result(session, found, hint)


@group.command("publish", cls=Leaf, example="decent offering publish OFFERING")
@click.argument("offering")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 600),
    default=WAIT_S,
    show_default=True,
    help="Seconds to wait for the agent's word on whether it can be made.",
)
@pass_session
def publish(session: Session, offering: str, yes: bool, wait_s: float) -> None:
    """Sign the terms of an offering and put it on offer.

    What is signed is compared with what was drafted here. An offering drafted on another device is
    shown and asked about. An agent of the pool compares it with its backend; what it cannot make is
    shown with a cure, and nobody can rent it.
    """
    found = _publish(session, session.client.offerings.read(offering), yes=yes)
    found = wait_for_word(session, found, wait_s)
    fails = found.plan is PlanState.FAILS
    _result(session, found, "" if fails else f"anybody can now: decent rent {offering}")


@group.command("withdraw", cls=Leaf, example="decent offering withdraw OFFERING")
@click.argument("offering")
@pass_session
def withdraw(session: Session, offering: str) -> None:
    """Take an offering off the market; running contracts go on."""
    _result(session, session.client.offerings.withdraw(offering), "")


@group.command("list", cls=Leaf, example="decent offering list")
@pass_session
def list_offerings(session: Session) -> None:
    """List your offerings in every state, newest first."""
    found = tuple(session.client.offerings.own(session.account))
    if session.out.json:
        session.out.data(OfferingsPage(items=found, next=""))
        return
    session.out.table(
        ("OFFERING", "STATE", "TITLE", "PRICE/H", "FREE", "CPU", "MEMORY", "WHERE", "RENTABLE"),
        (offering_row(one, own=True) for one in found),
        empty="no offerings yet: decent offering create --file FILE",
    )


@group.command("show", cls=Leaf, example="decent offering show OFFERING")
@click.argument("offering")
@pass_session
def show(session: Session, offering: str) -> None:
    """Show an offering, yours or another's."""
    found = session.visitor.offerings.read(offering)
    _result(session, found, "")


def _draft(
    session: Session, given: dict[str, Any], before: OfferingView | None = None
) -> OfferingDraft:
    """Put together what was: before, in the file, in flags; the later wins."""
    fields: dict[str, Any] = _fields_of(before) if before else {}
    file = given.pop("file")
    settings = _settings(given.pop("setting"))
    allowed = given.pop("allow")
    flags = with_text({n: value for n, value in given.items() if value is not None}, Path())
    for part in (read_file(file) if file else {}, flags):
        if "price_per_hour" in part:
            fields.pop("price_minor_per_hour", None)
        if "cpu" in part:
            fields.pop("cpu_milli", None)
        fields |= part
    if settings:
        fields["settings"] = {**fields.get("settings", {}), **settings}
    if allowed:
        fields["allowed_accounts"] = list(allowed)
    if fields.get("pool"):
        fields["pool"] = session.client.providers.find_pool(str(fields["pool"])).id
    return draft_of(fields)


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if "=" not in text:
            raise Invalid(f"{text!r}: write NAME=VALUE", field="setting")
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def _fields_of(view: OfferingView) -> dict[str, Any]:
    """Return the fields of a draft that would leave the offering as it is."""
    names = (
        "title kind pool image cpu_milli memory_mib disk_gib country stock description region min_hours "
        "max_hours accept_mode visibility provision_timeout_s penalty_ppm reset management_key"
    )
    return {name: getattr(view, name) for name in names.split()} | {
        "asset": view.price_per_hour.asset,
        "price_minor_per_hour": view.price_per_hour.amount_minor,
        "settings": dict(view.settings or {}),
        "allowed_accounts": list(view.allowed_accounts or ()),
        **fields_of(view),
    }


def _publish(session: Session, found: OfferingView, *, yes: bool) -> OfferingView:
    """Sign the terms as they are, if they are what was asked for here or a person says so."""
    draft = _asked(session).get(found.id)
    terms = check_terms(found.terms, asked_terms(draft) if draft else {})
    if not session.out.json:
        show_terms(session.out, terms)
    if draft is None:
        session.out.ask("This was drafted elsewhere. Sign these terms?", yes=yes)
    offer = Offer(session.account, OfferingId(found.id), found.n + 1, terms_hash(found.terms))
    statement = to_wire(sign_offer(offer, session.keys))
    return session.client.offerings.publish(found.id, PublishOffering(statement=statement))


def _asked(session: Session) -> AskedOfferings:
    return AskedOfferings(session.folder / "offerings")


def _result(session: Session, found: OfferingView, hint: str) -> None:
    if session.out.json:
        session.out.data(found)
        return
    show_offering(session.out, found, words.when(found.updated_at, session.now_ms()))
    if hint:
        session.out.say(hint)

"""How offerings and their terms are shown to people."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.cli import words
from decent_cloud.cli.first_scripts import described
from decent_cloud.cli.output import Output
from decent_cloud.cli.plan_word import plan_rows
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.kernel.money import Asset
from decent_cloud.wire.v1.offerings import OfferingView


def offering_row(found: OfferingView, *, own: bool) -> tuple[str, ...]:
    """Return one offering as a row: with its state for its provider, with its provider for tenants."""
    return (
        found.id,
        found.state.value if own else found.provider_name,
        f"{found.title} ({found.caution})" if found.caution else found.title,
        words.amount(found.price_per_hour),
        f"{found.available}/{found.stock}" if own else str(found.available),
        words.cores(found.cpu_milli),
        f"{found.memory_mib} MiB",
        " ".join(part for part in (found.country, found.region) if part),
        "yes" if found.rentable else found.not_rentable_because or "no",
    )


def show_offering(out: Output, found: OfferingView, updated: str) -> None:
    """Print everything a person asks about an offering."""
    out.fields(
        [
            ("offering", found.id),
            ("title", found.title),
            ("state", found.state.value + (f", version {found.n}" if found.n else "")),
            (
                "rentable",
                "yes" if found.rentable else f"no: {found.not_rentable_because or 'not now'}",
            ),
            ("provider", f"{found.provider_name} ({found.provider})"),
            ("pool", found.pool),
            ("price", f"{words.amount(found.price_per_hour)} per hour"),
            ("hours", f"{found.min_hours} to {found.max_hours}"),
            ("machine", _machine(found)),
            ("made with", f"{found.driver}: {found.caution}" if found.caution else found.driver),
            ("image", found.image),
            ("where", " ".join(part for part in (found.country, found.region) if part)),
            ("free", f"{found.available} of {found.stock}"),
            (
                "orders",
                "accepted at once"
                if found.accept_mode.value == "auto"
                else "the provider says yes to each",
            ),
            ("new password", _reset(found)),
            ("runs first", described(found.first_script)),
            ("visible to", found.visibility.value),
            ("updated", updated),
            *plan_rows(found),
        ]
    )
    if found.description:
        out.fields([("about", found.description)])


def show_terms(out: Output, terms: Mapping[str, Json]) -> None:
    """Print on stderr what is about to be signed."""
    out.say("terms:")
    for name in sorted(terms):
        out.say(f"  {name}: {_term(terms[name])}")


def _term(value: Json) -> str:
    if isinstance(value, dict) and set(value) == {"amount_minor", "asset"}:
        return (
            f"{words.minor(int(str(value['amount_minor'])), Asset(str(value['asset'])))} per hour"
        )
    return str(value)


def _reset(found: OfferingView) -> str:
    if not found.reset:
        return "not promised"
    return "on request" + (
        "; the agent keeps an SSH key of its own in the machine" if found.management_key else ""
    )


def _machine(found: OfferingView) -> str:
    disk = f", {found.disk_gib} GiB disk" if found.disk_gib else ""
    return f"{found.kind.value}, {words.cores(found.cpu_milli)} cores, {found.memory_mib} MiB{disk}"

"""The public terms of an offering in canonical JSON: what a provider signs and an order names."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.first_scripts import FIELD, FirstScript, script_in
from decent_cloud.kernel.errors import Conflict, Invalid
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR

GRACE_HOURS = 24  # how long a stopped instance waits for a paid extension


class PriceChanged(Conflict):
    """The total does not fit the offering's price; read the offering again and sign a new order."""

    code = "price_changed"


class OfferChanged(Conflict):
    """The offering was published anew since; read it again and sign a new order."""

    code = "offer_changed"


@dataclass(frozen=True, slots=True)
class Promises:
    """What the terms say beside the machine itself: whether its password can be reset, and whether the
    agent keeps a key of its own in it for that; and what runs in it before the tenant gets it.
    """

    reset: bool = False
    management_key: bool = False
    first_script: FirstScript | None = None


def terms_of(offering: Offering, promises: Promises = Promises()) -> str:
    """Return the canonical JSON of what the offering promises: strings and integers only."""
    script = promises.first_script
    return canonical.write(
        {
            "accept_mode": offering.accept_mode.value,
            "country": offering.country,
            "cpu_milli": offering.cpu_milli,
            "disk_gib": offering.disk_gib,
            "grace_hours": GRACE_HOURS,
            "image": offering.image,
            "kind": offering.kind.value,
            "management_key": _word(promises.management_key),
            "max_hours": offering.max_hours,
            "memory_mib": offering.memory_mib,
            "min_hours": offering.min_hours,
            "notice_hours": 0,
            "penalty_ppm": offering.penalty_ppm,
            "price": {
                "amount_minor": offering.price_minor_per_hour,
                "asset": offering.asset.value,
            },
            "provision_timeout_s": offering.provision_timeout_s,
            "region": offering.region,
            "reset": _word(promises.reset),
            "sla": {"target_ppm": 0, "tiers": [], "window_hours": 0},
            "title": offering.title,
            **({FIELD: script.to_json()} if script is not None else {}),
        }
    ).decode()


def promises_of(terms: str) -> Promises:
    """Read out of canonical terms what they promise; nothing where there are none."""
    found = canonical.parse(terms.encode()) if terms else {}
    said = found if isinstance(found, dict) else {}
    return Promises(
        said.get("reset") == "yes", said.get("management_key") == "yes", script_in(said)
    )


def _word(promised: bool) -> str:
    return "yes" if promised else "no"


def terms_hash(terms: str) -> Digest:
    """Return the SHA-256 of canonical terms, as a `dcx/offer/v1` statement names it."""
    return Digest(sha256(terms.encode()).hexdigest())


def check_draft(offering: Offering) -> None:
    """Check what a provider may never list.

    Errors: Invalid naming the field.
    """
    if offering.price_minor_per_hour < 1:
        raise Invalid(
            "a price above 0 is needed; renting your own offering costs nothing anyway",
            field="price_minor_per_hour",
        )
    if offering.price_minor_per_hour * offering.max_hours > MAX_AMOUNT_MINOR:
        raise Invalid("price times max_hours is too large", field="price_minor_per_hour")
    if offering.min_hours > offering.max_hours:
        raise Invalid("min_hours lies above max_hours", field="min_hours")


def check_price(offering: Offering, hours: int, total_minor: int, asset: str, *, own: bool) -> None:
    """Check an order's total: price times hours exactly, and 0 for one's own offering.

    Errors: PriceChanged.
    """
    due_minor = 0 if own else price_for(offering, hours)
    if total_minor != due_minor or asset != offering.asset.value:
        raise PriceChanged(due_minor=str(due_minor), asset=offering.asset.value)


def price_for(offering: Offering, hours: int) -> int:
    """Return what `hours` cost, in minor units of the offering's asset."""
    return offering.price_minor_per_hour * hours

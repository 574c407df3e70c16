"""The one answer to whether an offering can be rented, used by search, page and order alike."""

from __future__ import annotations

from enum import StrEnum

from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.visibility import visible
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.status import OfferingState


class Hindrance(StrEnum):
    """Why an offering cannot be rented now."""

    NOT_VISIBLE = "not_visible"
    DRAFT = "draft"
    WITHDRAWN = "withdrawn"
    SOLD_OUT = "sold_out"
    HOURS_OUT_OF_RANGE = "hours_out_of_range"
    NO_AGENT_ONLINE = "no_agent_online"
    PLAN_FAILS = "plan_fails"


_CURES = {
    Hindrance.NOT_VISIBLE: "this offering is not shared with your account",
    Hindrance.DRAFT: "this offering is not published; ask its provider, or choose another",
    Hindrance.WITHDRAWN: "this offering was withdrawn; choose another",
    Hindrance.SOLD_OUT: "this offering is sold out; choose another, or come back later",
    Hindrance.NO_AGENT_ONLINE: "no agent of this offering's pool was heard within 5 minutes; try again later",
    Hindrance.PLAN_FAILS: "its provider's agents cannot make this machine now, because it is sold out there or set up "
    "wrongly; choose another, or try again later",
}


class NotRentable(Conflict):
    """This offering cannot be rented now."""

    code = "not_rentable"


def hindrance(
    offering: Offering,
    viewer: AccountId | None,
    *,
    agent_online: bool,
    plan_fails: bool = False,
    hours: int = 0,
    takes_unit: bool = True,
) -> Hindrance | None:
    """Return why `viewer` cannot rent the offering now, None if an order would pass.

    `hours` 0 asks about no particular time; an extension takes no new unit, and needs no new machine.
    """
    if not visible(offering, viewer):
        return Hindrance.NOT_VISIBLE
    if offering.state is OfferingState.DRAFT:
        return Hindrance.DRAFT
    if offering.state is OfferingState.WITHDRAWN:
        return Hindrance.WITHDRAWN
    if takes_unit and not offering.available:
        return Hindrance.SOLD_OUT
    if hours and not offering.min_hours <= hours <= offering.max_hours:
        return Hindrance.HOURS_OUT_OF_RANGE
    if not agent_online:
        return Hindrance.NO_AGENT_ONLINE
    if takes_unit and plan_fails:
        return Hindrance.PLAN_FAILS
    return None


def refuse(offering: Offering, because: Hindrance) -> NotRentable:
    """Return the error that says why and what to do."""
    message = _CURES.get(because, "")
    if because is Hindrance.HOURS_OUT_OF_RANGE:
        message = f"this offering is rented for {offering.min_hours} to {offering.max_hours} hours"
    return NotRentable(message, because=because.value)

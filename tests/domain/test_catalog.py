"""What providers offer: canonical terms, who sees them, and whether they can be rented."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.rentable import Hindrance, hindrance, refuse
from decent_cloud.domain.catalog.terms import PriceChanged, check_draft, check_price, terms_of
from decent_cloud.domain.catalog.visibility import visible
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.status import OfferingState, Visibility
from tests.support.rentals import PROVIDER, TENANT, an_offering

STRANGER = AccountId("ee" * 32)
SHARED = replace(an_offering(), visibility=Visibility.SHARED, allowed_accounts=(TENANT,))


def test_terms_are_the_same_bytes_whatever_is_not_promised() -> None:
    offering = an_offering()
    same = replace(offering, stock=5, description="new", settings={"a": "b"}, reserved=2, n=4)
    assert terms_of(same) == terms_of(offering)
    assert terms_of(replace(offering, price_minor_per_hour=11)) != terms_of(offering)
    terms = json.loads(terms_of(offering))
    assert terms["price"] == {"amount_minor": 10, "asset": "USD"}
    assert terms["sla"] == {"target_ppm": 0, "tiers": [], "window_hours": 0}
    assert (terms["grace_hours"], terms["notice_hours"]) == (24, 0)
    assert (terms["management_key"], terms["reset"]) == ("no", "no")


@pytest.mark.parametrize(
    ("offering", "viewer", "expected"),
    [
        (an_offering(), None, True),
        (SHARED, None, False),
        (SHARED, STRANGER, False),
        (SHARED, TENANT, True),
        (SHARED, PROVIDER, True),
        (replace(SHARED, visibility=Visibility.PRIVATE), TENANT, False),
        (replace(SHARED, visibility=Visibility.PRIVATE), PROVIDER, True),
        (replace(an_offering(), state=OfferingState.DRAFT), TENANT, False),
        (replace(an_offering(), state=OfferingState.WITHDRAWN), PROVIDER, True),
    ],
)
def test_an_offering_is_seen_by_whom_it_is_for(
    offering: Offering, viewer: AccountId | None, expected: bool
) -> None:
    assert visible(offering, viewer) is expected


@pytest.mark.parametrize(
    ("offering", "hours", "online", "expected"),
    [
        (an_offering(), 10, True, None),
        (an_offering(), 0, True, None),
        (an_offering(), 10, False, Hindrance.NO_AGENT_ONLINE),
        (an_offering(), 1_001, True, Hindrance.HOURS_OUT_OF_RANGE),
        (replace(an_offering(), min_hours=5), 4, True, Hindrance.HOURS_OUT_OF_RANGE),
        (replace(an_offering(), stock=2, reserved=2), 10, True, Hindrance.SOLD_OUT),
        (replace(an_offering(), stock=1, reserved=2), 10, True, Hindrance.SOLD_OUT),
        (replace(an_offering(), visibility=Visibility.PRIVATE), 10, True, Hindrance.NOT_VISIBLE),
    ],
)
def test_one_answer_says_whether_an_order_would_pass(
    offering: Offering, hours: int, online: bool, expected: Hindrance | None
) -> None:
    found = hindrance(offering, TENANT, agent_online=online, hours=hours)
    assert found is expected
    if found is not None:
        assert refuse(offering, found).message
        assert refuse(offering, found).details == {"because": found.value}


def test_the_provider_is_told_why_its_own_offering_is_not_rented() -> None:
    for state, expected in (
        (OfferingState.DRAFT, Hindrance.DRAFT),
        (OfferingState.WITHDRAWN, Hindrance.WITHDRAWN),
    ):
        offering = replace(an_offering(), state=state)
        assert hindrance(offering, PROVIDER, agent_online=True) is expected


def test_what_no_agent_can_make_is_not_rented_but_extended() -> None:
    offering = an_offering()
    found = hindrance(offering, TENANT, agent_online=True, plan_fails=True)
    assert found is Hindrance.PLAN_FAILS
    assert "cannot make this machine" in refuse(offering, found).message
    kept = hindrance(offering, TENANT, agent_online=True, plan_fails=True, takes_unit=False)
    assert kept is None


def test_an_extension_needs_no_free_unit() -> None:
    full = replace(an_offering(), stock=1, reserved=1)
    assert hindrance(full, TENANT, agent_online=True, takes_unit=False) is None


def test_a_price_is_hours_times_the_offerings_price_exactly() -> None:
    check_price(an_offering(), 7, 70, "USD", own=False)
    check_price(an_offering(), 7, 0, "USD", own=True)
    for total, asset, own in (
        (69, "USD", False),
        (71, "USD", False),
        (70, "EUR", False),
        (70, "USD", True),
    ):
        with pytest.raises(PriceChanged):
            check_price(an_offering(), 7, total, asset, own=own)


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (replace(an_offering(), price_minor_per_hour=0), "price_minor_per_hour"),
        (replace(an_offering(), price_minor_per_hour=2**53 - 1), "price_minor_per_hour"),
        (replace(an_offering(), min_hours=9, max_hours=8), "min_hours"),
    ],
)
def test_a_draft_that_nobody_could_order_is_refused(draft: Offering, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_draft(draft)
    assert refused.value.field == field

"""Machines that keep tenants apart too little are offered to strangers only in development, and always say so."""

from __future__ import annotations

import pytest

from decent_cloud.app import offerings
from decent_cloud.app.offerings import NotForStrangers
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.isolation import TRUSTED_ONLY
from decent_cloud.kernel.status import OfferingState, ServerMode
from tests.support.usecases import Usecases, a_draft


@pytest.fixture
def real() -> Usecases:
    """A platform with real money."""
    return Usecases(mode=ServerMode.PRODUCTION)


def test_a_sandbox_is_offered_to_anyone_in_development_only(use: Usecases, real: Usecases) -> None:
    assert use.offering(use.shop(driver="sandbox")).state is OfferingState.PUBLISHED
    shop = real.shop(driver="sandbox")
    draft = real.draft(shop)
    with pytest.raises(NotForStrangers, match="trusted tenants"):
        real.publish(shop, draft)


def test_a_sandbox_is_shared_with_trusted_tenants_everywhere(real: Usecases) -> None:
    shop = real.shop(driver="sandbox")
    shared = real.offering(shop, visibility="shared", allowed_accounts=[real.account().id])
    private = real.offering(shop, visibility="private")
    assert (shared.state, private.state) == (OfferingState.PUBLISHED, OfferingState.PUBLISHED)


def test_what_was_published_for_friends_is_not_opened_to_strangers_later(real: Usecases) -> None:
    shop = real.shop(driver="sandbox")
    shared = real.offering(shop, visibility="shared", allowed_accounts=[real.account().id])
    public = a_draft(shop, visibility="public")
    with pytest.raises(NotForStrangers):
        real.write(
            lambda uow: offerings.change_offering(
                uow, shop.owner.caller, shared.id, public, real.now_ms
            )
        )


def test_other_drivers_are_offered_to_anyone_in_production(real: Usecases) -> None:
    assert real.offering(real.shop(driver="docker")).state is OfferingState.PUBLISHED


@pytest.mark.parametrize(("driver", "caution"), [("sandbox", TRUSTED_ONLY), ("docker", "")])
def test_an_offering_says_what_its_machines_are_made_with(
    use: Usecases, driver: str, caution: str
) -> None:
    shop = use.shop(driver=driver)
    offering = use.offering(shop)
    seen = use.read(
        lambda uow: offerings.read_offering(uow, use.account().caller, offering.id, use.now_ms)
    )
    assert (seen.driver, seen.caution) == (driver, caution)


def test_a_pool_names_what_makes_its_machines(use: Usecases) -> None:
    with pytest.raises(Invalid, match="name what makes the machines"):
        use.shop(driver="auto")

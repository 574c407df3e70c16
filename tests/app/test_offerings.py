"""Offerings: drafts become signed offers, and changes to what was signed need a new signature."""

from __future__ import annotations

from typing import Any

import pytest

from decent_cloud.app import offerings
from decent_cloud.app.caller import PUBLIC, Caller
from decent_cloud.app.offerings import OfferMismatch
from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.domain.catalog.rentable import Hindrance
from decent_cloud.domain.catalog.terms import terms_hash
from decent_cloud.domain.keys.errors import WrongSigner
from decent_cloud.domain.keys.offers import Offer, sign_offer
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.paging import PageRequest
from decent_cloud.kernel.status import OfferingState
from decent_cloud.wire.v1.offerings import PublishOffering
from tests.support.usecases import Member, Shop, Usecases, a_draft, wire


def publish_as(use: Usecases, shop: Shop, signer: Member, offer: Offer) -> Offering:
    command = PublishOffering(statement=wire(sign_offer(offer, signer.keys)))
    return use.write(
        lambda uow: offerings.publish_offering(
            uow, shop.owner.caller, offer.offering_id, command, use.now_ms
        )
    ).offering


def change(use: Usecases, shop: Shop, offering: Offering, **changes: Any) -> Offering:
    command = a_draft(shop, **changes)
    return use.write(
        lambda uow: offerings.change_offering(
            uow, shop.owner.caller, offering.id, command, use.now_ms
        )
    ).offering


def withdraw(use: Usecases, shop: Shop, offering: Offering) -> Offering:
    return use.write(
        lambda uow: offerings.withdraw_offering(uow, shop.owner.caller, offering.id, use.now_ms)
    ).offering


def found(use: Usecases, caller: Caller) -> list[str]:
    page = use.read(
        lambda uow: offerings.search_offerings(
            uow, caller, OfferingFilter(), PageRequest(), use.now_ms
        )
    )
    return [row.offering.id for row in page.items]


def test_a_draft_is_the_providers_own_until_it_is_published(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    draft = use.draft(shop)
    assert found(use, tenant.caller) == []
    with pytest.raises(NotFound):
        use.read(lambda uow: offerings.read_offering(uow, tenant.caller, draft.id, use.now_ms))
    published = use.publish(shop, draft)
    assert (published.n, published.state) == (1, OfferingState.PUBLISHED)
    assert found(use, tenant.caller) == found(use, PUBLIC) == [draft.id]


def test_publishing_the_same_statement_again_changes_nothing(use: Usecases) -> None:
    shop = use.shop()
    draft = use.draft(shop)
    offer = Offer(shop.owner.id, draft.id, 1, terms_hash(draft.terms))
    command = PublishOffering(statement=wire(sign_offer(offer, shop.owner.keys)))

    def send() -> Offering:
        return use.write(
            lambda uow: offerings.publish_offering(
                uow, shop.owner.caller, draft.id, command, use.now_ms
            )
        ).offering

    assert send() == send()
    assert (send().n, send().offer_hash) == (1, offer.digest)


def test_an_offer_that_signs_something_else_is_refused(use: Usecases) -> None:
    shop, other = use.shop(), use.account()
    draft, another = use.draft(shop), use.draft(shop, title="Large")
    wrong = [
        Offer(shop.owner.id, draft.id, 1, terms_hash(another.terms)),
        Offer(shop.owner.id, draft.id, 2, terms_hash(draft.terms)),
    ]
    for offer in wrong:
        with pytest.raises(OfferMismatch):
            publish_as(use, shop, shop.owner, offer)
    good = Offer(shop.owner.id, draft.id, 1, terms_hash(draft.terms))
    with pytest.raises(WrongSigner):
        publish_as(use, shop, other, good)


def test_stock_may_change_under_a_signed_offer_and_a_promise_may_not(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    use.order(tenant, offering)
    more = change(use, shop, offering, stock=9, description="now with a picture")
    assert more.state is OfferingState.PUBLISHED
    assert more.offer_hash == offering.offer_hash
    assert use.free_units(offering) == 8
    dearer = change(use, shop, more, stock=9, price_minor_per_hour="11")
    assert dearer.state is OfferingState.DRAFT
    assert dearer.offer_hash == ""
    again = use.publish(shop, dearer)
    assert (again.n, again.state) == (2, OfferingState.PUBLISHED)
    assert use.free_units(offering) == 8


def test_a_withdrawn_offering_is_found_no_more_and_can_come_back(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)
    assert withdraw(use, shop, offering).state is OfferingState.WITHDRAWN
    withdrawn = withdraw(use, shop, offering)
    assert found(use, tenant.caller) == []
    use.publish(shop, withdrawn)
    assert found(use, tenant.caller) == [offering.id]


def test_search_says_the_same_as_an_order_would(use: Usecases) -> None:
    shop, tenant = use.shop(), use.account()
    offering = use.offering(shop)

    def because() -> Hindrance | None:
        return use.read(
            lambda uow: offerings.read_offering(uow, tenant.caller, offering.id, use.now_ms)
        ).hindrance

    assert because() is None
    use.wait(5 * MINUTE_MS)
    assert because() is Hindrance.NO_AGENT_ONLINE
    use.beat(shop.agent)
    assert because() is None
    for _ in range(2):
        use.order(tenant, offering)
    use.order(use.account(), offering)
    assert because() is Hindrance.SOLD_OUT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price_minor_per_hour": "0"}, "price_minor_per_hour"),
        ({"min_hours": 5, "max_hours": 4}, "min_hours"),
        ({"pool": "w-foreign"}, "pool"),
        ({"pool": ""}, "pool"),
        ({"settings": {"": "x"}}, "settings"),
    ],
)
def test_a_draft_that_cannot_work_names_its_field(
    use: Usecases, changes: dict[str, Any], field: str
) -> None:
    shop = use.shop()
    with pytest.raises(Invalid) as refused:
        use.draft(shop, **changes)
    assert refused.value.field == field


def test_a_provider_lists_its_own_in_every_state(use: Usecases) -> None:
    shop, other = use.shop(), use.shop()
    mine = [use.draft(shop).id, use.offering(shop).id]

    def listed(caller: Caller) -> set[str]:
        page = use.read(
            lambda uow: offerings.own_offerings(
                uow, caller, shop.owner.id, PageRequest(), use.now_ms
            )
        )
        return {row.offering.id for row in page.items}

    assert listed(shop.owner.caller) == set(mine)
    with pytest.raises(NotFound):
        listed(other.owner.caller)


def test_nobody_changes_anothers_offering(use: Usecases) -> None:
    shop, other = use.shop(), use.shop()
    offering = use.offering(shop)
    with pytest.raises(NotFound):
        change(use, other, offering)
    with pytest.raises(NotFound):
        withdraw(use, other, offering)

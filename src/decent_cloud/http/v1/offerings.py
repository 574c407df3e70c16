"""Offerings: drafts, signed publishing, search."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from decent_cloud.app import offerings
from decent_cloud.app.offerings import OfferingDetails
from decent_cloud.domain.catalog.offerings import OfferingFilter
from decent_cloud.domain.catalog.terms import promises_of
from decent_cloud.http.call import Call
from decent_cloud.http.v1.first_scripts import first_script_view
from decent_cloud.http.v1.pages import Cursor, Limit, page_request
from decent_cloud.http.v1.plan_checks import plan_check_view
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.ids import AccountId, OfferingId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.paging import DEFAULT_LIMIT, Page
from decent_cloud.kernel.status import OfferingKind
from decent_cloud.wire.v1.money import Amount
from decent_cloud.wire.v1.offerings import (
    OfferingDraft,
    OfferingsPage,
    OfferingView,
    PublishOffering,
)
from decent_cloud.wire.v1.statements import StatementWire

Word = Annotated[str, QueryParameter(max_length=200)]
Bound = Annotated[int, QueryParameter(ge=0, le=2**53 - 1)]


@post("/offerings", summary="Draft an offering")
async def create_offering(
    call: NamedDependency[Call], data: JSONBody[OfferingDraft]
) -> Response[OfferingView]:
    """Write a draft that nobody else sees; publish it with a signature over the hash of its terms."""
    offering_id = call.new_id("o")
    return await call.write(
        lambda uow: offering_view(
            offerings.create_offering(uow, call.caller, data, call.now_ms, offering_id)
        ),
        status=201,
    )


@put("/offerings/{offering:str}", summary="Change an offering")
async def change_offering(
    call: NamedDependency[Call], offering: FromPath[str], data: JSONBody[OfferingDraft]
) -> Response[OfferingView]:
    """Replace a draft; what was signed stays on offer only while its terms stay the same."""
    return await call.write(
        lambda uow: offering_view(
            offerings.change_offering(uow, call.caller, OfferingId(offering), data, call.now_ms)
        )
    )


@post("/offerings/{offering:str}/publish", status_code=200, summary="Publish an offering")
async def publish_offering(
    call: NamedDependency[Call], offering: FromPath[str], data: JSONBody[PublishOffering]
) -> Response[OfferingView]:
    """Put a draft on offer under its provider's signature."""
    return await call.write(
        lambda uow: offering_view(
            offerings.publish_offering(uow, call.caller, OfferingId(offering), data, call.now_ms)
        )
    )


@post("/offerings/{offering:str}/withdraw", status_code=200, summary="Withdraw an offering")
async def withdraw_offering(
    call: NamedDependency[Call], offering: FromPath[str]
) -> Response[OfferingView]:
    """Take an offering off the market; running contracts go on."""
    return await call.write(
        lambda uow: offering_view(
            offerings.withdraw_offering(uow, call.caller, OfferingId(offering), call.now_ms)
        )
    )


@get("/offerings", summary="Search offerings")
async def search_offerings(
    call: NamedDependency[Call],
    text: Word = "",
    kind: FromQuery[OfferingKind | None] = None,
    country: Word = "",
    asset: FromQuery[Asset | None] = None,
    provider: Word = "",
    max_price_minor: Bound = 0,
    min_memory_mib: Bound = 0,
    min_cpu_milli: Bound = 0,
    cursor: Cursor = "",
    limit: Limit = DEFAULT_LIMIT,
) -> OfferingsPage:
    """List published offerings, cheapest first; a signed request also finds what is shared with the caller."""
    asked = OfferingFilter(
        text=text,
        kind=kind.value if kind else "",
        country=country,
        asset=asset.value if asset else "",
        provider=provider,
        max_price_minor_per_hour=max_price_minor,
        min_memory_mib=min_memory_mib,
        min_cpu_milli=min_cpu_milli,
    )
    page = page_request(cursor, limit)
    found = await call.read(
        lambda uow: offerings.search_offerings(uow, call.caller, asked, page, call.now_ms)
    )
    return offerings_page(found)


@get("/offerings/{offering:str}", summary="An offering")
async def read_offering(call: NamedDependency[Call], offering: FromPath[str]) -> OfferingView:
    """Return an offering to whoever may see it; check `offer` against the provider's chain before ordering."""
    found = await call.read(
        lambda uow: offerings.read_offering(uow, call.caller, OfferingId(offering), call.now_ms)
    )
    return offering_view(found)


@get("/providers/{provider:str}/offerings", summary="A provider's own offerings")
async def list_own_offerings(
    call: NamedDependency[Call],
    provider: FromPath[str],
    cursor: Cursor = "",
    limit: Limit = DEFAULT_LIMIT,
) -> OfferingsPage:
    """List the caller's offerings in every state, newest first."""
    page = page_request(cursor, limit)
    found = await call.read(
        lambda uow: offerings.own_offerings(
            uow, call.caller, AccountId(provider), page, call.now_ms
        )
    )
    return offerings_page(found)


def offerings_page(found: Page[OfferingDetails]) -> OfferingsPage:
    """Render a page."""
    return OfferingsPage(items=tuple(offering_view(one) for one in found.items), next=found.next)


def offering_view(found: OfferingDetails) -> OfferingView:
    """Render an offering; settings and whom it is shared with only for its provider."""
    one = found.offering
    promises = promises_of(one.terms)
    return OfferingView(
        id=one.id,
        provider=one.provider,
        provider_name=found.provider_name,
        pool=one.pool,
        state=one.state,
        visibility=one.visibility,
        title=one.title,
        description=one.description,
        kind=one.kind,
        image=one.image,
        cpu_milli=one.cpu_milli,
        memory_mib=one.memory_mib,
        disk_gib=one.disk_gib,
        country=one.country,
        region=one.region,
        price_per_hour=Amount(amount_minor=str(one.price_minor_per_hour), asset=one.asset),
        stock=one.stock,
        available=one.available,
        min_hours=one.min_hours,
        max_hours=one.max_hours,
        accept_mode=one.accept_mode,
        provision_timeout_s=one.provision_timeout_s,
        penalty_ppm=one.penalty_ppm,
        n=one.n,
        terms=one.terms,
        offer=from_json(one.offer, StatementWire) if one.offer else None,
        offer_hash=one.offer_hash,
        rentable=found.hindrance is None,
        not_rentable_because="" if found.hindrance is None else found.hindrance.value,
        updated_at=rfc3339(one.updated_at_ms),
        settings=dict(one.settings) if found.own else None,
        allowed_accounts=tuple(one.allowed_accounts) if found.own else None,
        reset=promises.reset,
        management_key=promises.management_key,
        driver=found.driver,
        caution=found.caution,
        plan=found.plan,
        plan_checks=tuple(map(plan_check_view, found.checks)) if found.own else None,
        first_script=first_script_view(promises.first_script),
        first_script_text=found.script_text,
    )


ROUTES = (
    create_offering,
    change_offering,
    publish_offering,
    withdraw_offering,
    search_offerings,
    read_offering,
    list_own_offerings,
)

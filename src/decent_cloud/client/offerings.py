"""Offerings as the API knows them, and what must hold before one signs or orders them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from decent_cloud.client.statements import from_wire
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.first_scripts import FIELD as SCRIPT
from decent_cloud.domain.keys.first_scripts import FirstScript, read_script
from decent_cloud.domain.keys.offers import Offer, verify_offer
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.ids import AccountId, Digest
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.wire.v1.offerings import (
    OfferingDraft,
    OfferingsPage,
    OfferingView,
    PublishOffering,
)

_LEFT_OUT: Mapping[str, Json] = {SCRIPT: {}}  # what terms without it are taken to say


class TermsDiffer(KeyRefused):
    """The terms to be signed are not what was asked for or shown."""

    code = "terms_differ"


class OfferingsApi:
    """The routes of offerings; each may raise ApiProblem, Unreachable or BadAnswer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: OfferingDraft) -> OfferingView:
        """Write a draft."""
        return self._transport.write("POST", "/offerings", OfferingView, body)

    def change(self, offering: str, body: OfferingDraft) -> OfferingView:
        """Replace a draft."""
        return self._transport.write("PUT", f"/offerings/{offering}", OfferingView, body)

    def publish(self, offering: str, body: PublishOffering) -> OfferingView:
        """Put a draft on offer."""
        return self._transport.write("POST", f"/offerings/{offering}/publish", OfferingView, body)

    def withdraw(self, offering: str) -> OfferingView:
        """Take an offering off the market."""
        return self._transport.write("POST", f"/offerings/{offering}/withdraw", OfferingView)

    def read(self, offering: str) -> OfferingView:
        """Return an offering to whoever may see it."""
        return self._transport.get(f"/offerings/{offering}", OfferingView)

    def search(self, query: Mapping[str, str]) -> OfferingsPage:
        """Return published offerings, cheapest first."""
        return self._transport.get("/offerings", OfferingsPage, query)

    def own(self, provider: AccountId) -> Iterator[OfferingView]:
        """Yield the caller's offerings in every state, newest first."""
        cursor = ""
        while True:
            query = {"cursor": cursor} if cursor else None
            page = self._transport.get(f"/providers/{provider}/offerings", OfferingsPage, query)
            yield from page.items
            cursor = page.next
            if not cursor:
                return


@dataclass(frozen=True, slots=True)
class Quote:
    """An offering whose signed terms were verified: what an order may rely on."""

    view: OfferingView
    offer: Offer
    price_per_hour: Money

    def total_minor(self, hours: int, tenant: AccountId) -> int:
        """Return what `hours` cost; one's own machine costs nothing."""
        own = self.offer.account_id == tenant
        return 0 if own else self.price_per_hour.amount_minor * hours


def verified_quote(view: OfferingView, provider_chain: ChainState) -> Quote:
    """Check that the provider's device signed exactly what the platform shows of an offering.

    Errors: any `KeyRefused`, TermsDiffer; NotFound for an offering that was never published.
    """
    if view.offer is None:
        raise NotFound(f"offering {view.id} is not published", field="offering")
    offer = verify_offer(from_wire(view.offer), provider_chain)
    if (offer.offering_id, offer.version, offer.digest) != (view.id, view.n, view.offer_hash):
        raise TermsDiffer("the provider's signature is for another version of this offering")
    if offer.terms != terms_hash(view.terms):
        raise TermsDiffer("the provider signed other terms than the platform shows")
    check_terms(view.terms, _shown(view))
    asset = Asset(view.price_per_hour.asset)
    return Quote(view, offer, Money(int(view.price_per_hour.amount_minor), asset))


def terms_hash(terms: str) -> Digest:
    """Return the hash that an offer statement carries for these terms."""
    return Digest(sha256(terms.encode()).hexdigest())


def asked_terms(draft: OfferingDraft) -> dict[str, Json]:
    """Return what a draft says of its public terms, by their names there."""
    script = None
    if draft.first_script:
        script = read_script(
            draft.first_script,
            draft.first_script_timeout_s,
            draft.first_script_on_failure,
            draft.provision_timeout_s,
        )
    return {
        "accept_mode": draft.accept_mode.value,
        "country": draft.country,
        "cpu_milli": draft.cpu_milli,
        "disk_gib": draft.disk_gib,
        SCRIPT: _script(script),
        "image": draft.image,
        "kind": draft.kind.value,
        "max_hours": draft.max_hours,
        "memory_mib": draft.memory_mib,
        "min_hours": draft.min_hours,
        "penalty_ppm": draft.penalty_ppm,
        "price": {"amount_minor": int(draft.price_minor_per_hour), "asset": draft.asset.value},
        "provision_timeout_s": draft.provision_timeout_s,
        "management_key": "yes" if draft.management_key else "no",
        "region": draft.region,
        "reset": "yes" if draft.reset else "no",
        "title": draft.title,
    }


def check_terms(terms: str, asked: Mapping[str, Json]) -> dict[str, Json]:
    """Check that canonical terms say what is asked, and return them.

    Errors: TermsDiffer naming the field; NotCanonical.
    """
    found = canonical.parse(terms.encode())
    if not isinstance(found, dict):
        raise TermsDiffer("the terms are no object")
    for name, wanted in asked.items():
        if found.get(name, _LEFT_OUT.get(name)) != wanted:
            raise TermsDiffer(
                f"the terms say {name} = {found.get(name)!r}, asked for was {wanted!r}",
                field=f"terms.{name}",
            )
    return found


def _shown(view: OfferingView) -> dict[str, Json]:
    """Return what the plain fields of an offering say of its terms."""
    price, shown = view.price_per_hour, view.first_script
    script = None
    if shown is not None:
        script = FirstScript(shown.kind, Digest(shown.sha256), shown.timeout_s, shown.on_failure)
    return {
        "accept_mode": view.accept_mode.value,
        "country": view.country,
        "cpu_milli": view.cpu_milli,
        "disk_gib": view.disk_gib,
        SCRIPT: _script(script),
        "image": view.image,
        "kind": view.kind.value,
        "max_hours": view.max_hours,
        "memory_mib": view.memory_mib,
        "min_hours": view.min_hours,
        "penalty_ppm": view.penalty_ppm,
        "price": {"amount_minor": int(price.amount_minor), "asset": price.asset.value},
        "provision_timeout_s": view.provision_timeout_s,
        "management_key": "yes" if view.management_key else "no",
        "region": view.region,
        "reset": "yes" if view.reset else "no",
        "title": view.title,
    }


def _script(script: FirstScript | None) -> Json:
    return {} if script is None else script.to_json()

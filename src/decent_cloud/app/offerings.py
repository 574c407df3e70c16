"""Offerings: drafts, signed publishing, search, and whether an order would pass now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from decent_cloud.app import plan_checks
from decent_cloud.app.accounts import load_chain
from decent_cloud.app.agents import online_agents
from decent_cloud.app.caller import Caller, require_reader
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.providers import own_pool, own_provider, provider_of
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.domain.catalog.plan_checks import PlanCheck, current, fails
from decent_cloud.domain.catalog.rentable import Hindrance, hindrance
from decent_cloud.domain.catalog.terms import (
    Promises,
    check_draft,
    promises_of,
    terms_hash,
    terms_of,
)
from decent_cloud.domain.catalog.visibility import visible
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.identity.providers import Pool
from decent_cloud.domain.keys.first_scripts import FirstScript, ScriptText, read_script
from decent_cloud.domain.keys.offers import verify_offer
from decent_cloud.kernel.errors import Conflict, Invalid, NotFound
from decent_cloud.kernel.ids import AccountId, Kid, OfferingId, PoolId
from decent_cloud.kernel.isolation import TRUSTED_ONLY, trusted_only
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import OfferingState, PlanState, ServerMode, Visibility
from decent_cloud.wire.v1.offerings import OfferingDraft, PublishOffering


class OfferMismatch(Conflict):
    """The signed offer does not fit the draft; read the offering again and sign its terms."""

    code = "offer_mismatch"


class NotForStrangers(Conflict):
    """Machines of this pool are for development and trusted tenants only; share the offering or keep it private."""

    code = "not_for_strangers"


@dataclass(frozen=True, slots=True)
class OfferingDetails:
    """An offering as someone sees it: `hindrance` is None if an order of theirs would pass now.

    `driver` is what the pool's machines are made with; `checks` are the words of agents that are
    online about the offering as it is.
    """

    offering: Offering
    provider_name: str
    driver: str
    hindrance: Hindrance | None
    own: bool
    checks: tuple[PlanCheck, ...] = ()
    plan: PlanState = PlanState.UNKNOWN
    script_text: str | None = (
        None  # of the first script, where one's own offering is looked at alone
    )

    @property
    def caution(self) -> str:
        """What a tenant must know before anything else; empty where there is nothing."""
        return TRUSTED_ONLY if trusted_only(self.driver) else ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is looked up once per pool and provider while a page of offerings is shown."""

    checks: dict[OfferingId, tuple[PlanCheck, ...]]
    online: dict[tuple[AccountId, PoolId], tuple[Kid, ...]] = field(default_factory=dict)
    names: dict[AccountId, str] = field(default_factory=dict)
    drivers: dict[PoolId, str] = field(default_factory=dict)


def create_offering(
    uow: UnitOfWork, caller: Caller, draft: OfferingDraft, now_ms: int, offering_id: str
) -> OfferingDetails:
    """Write a draft that nobody else sees; `offering_id` is freshly minted.

    Errors: NotAProvider, Invalid naming the field.
    """
    provider = own_provider(uow, caller)
    offering = _drafted(uow, provider.id, OfferingId(offering_id), draft, now_ms)
    uow.offerings.add(offering)
    return details(uow, offering, provider.id, now_ms)


def change_offering(
    uow: UnitOfWork, caller: Caller, offering_id: OfferingId, draft: OfferingDraft, now_ms: int
) -> OfferingDetails:
    """Replace a draft. What was signed stays on offer only while its public terms stay the same:
    stock, description, settings and visibility may change, anything else needs a new publish.

    Errors: NotFound, Invalid, NotForStrangers.
    """
    before = _own(uow, caller, offering_id)
    drafted = _drafted(uow, before.provider, before.id, draft, now_ms)
    after = replace(drafted, reserved=before.reserved, n=before.n, version=before.version)
    if before.offer and drafted.terms == before.terms and drafted.pool == before.pool:
        after = replace(after, state=before.state, offer=before.offer, offer_hash=before.offer_hash)
    if after.state is OfferingState.PUBLISHED:
        _check_isolation(uow, own_pool(uow, before.provider, after.pool), after.visibility)
    return _changed(uow, after, now_ms)


def publish_offering(
    uow: UnitOfWork,
    caller: Caller,
    offering_id: OfferingId,
    command: PublishOffering,
    now_ms: int,
) -> OfferingDetails:
    """Put a draft on offer under its provider's signature over the hash of its terms.

    The same statement again changes nothing.
    Errors: any `KeyRefused`, OfferMismatch, NotForStrangers, NotFound.
    """
    before = _own(uow, caller, offering_id)
    statement = from_wire(command.statement)
    text = statement_text(statement)
    if before.state is OfferingState.PUBLISHED and before.offer == text:
        return details(uow, before, before.provider, now_ms)
    offer = verify_offer(statement, load_chain(uow, before.provider))
    _check_isolation(uow, own_pool(uow, before.provider, before.pool), before.visibility)
    if offer.offering_id != before.id or offer.terms != terms_hash(before.terms):
        raise OfferMismatch(terms=terms_hash(before.terms))
    if offer.version != before.n + 1:
        raise OfferMismatch(f"the next version is {before.n + 1}", n=before.n + 1)
    after = replace(
        before,
        state=OfferingState.PUBLISHED,
        n=offer.version,
        offer=text,
        offer_hash=offer.digest,
        updated_at_ms=now_ms,
    )
    return _changed(uow, after, now_ms)


def withdraw_offering(
    uow: UnitOfWork, caller: Caller, offering_id: OfferingId, now_ms: int
) -> OfferingDetails:
    """Take an offering off the market; running contracts go on. Publishing brings it back.

    Errors: NotFound.
    """
    before = _own(uow, caller, offering_id)
    if before.state is OfferingState.WITHDRAWN:
        return details(uow, before, before.provider, now_ms)
    after = replace(before, state=OfferingState.WITHDRAWN, updated_at_ms=now_ms)
    return _changed(uow, after, now_ms)


def read_offering(
    uow: UnitOfWork, caller: Caller, offering_id: OfferingId, now_ms: int
) -> OfferingDetails:
    """Show an offering to whoever may see it.

    Errors: NotFound.
    """
    return details(uow, visible_offering(uow, caller.viewer, offering_id), caller.viewer, now_ms)


def search_offerings(
    uow: UnitOfWork, caller: Caller, asked: OfferingFilter, page: PageRequest, now_ms: int
) -> Page[OfferingDetails]:
    """List published offerings that the caller may see, cheapest first; sold out ones say so."""
    found = uow.offerings.search(asked, caller.viewer, page)
    seen = _seen(uow, found.items)
    items = tuple(_details(uow, one, caller.viewer, now_ms, seen) for one in found.items)
    return Page(items, found.next)


def own_offerings(
    uow: UnitOfWork, caller: Caller, provider: AccountId, page: PageRequest, now_ms: int
) -> Page[OfferingDetails]:
    """List the caller's offerings in every state, newest first.

    Errors: NotFound for another provider's.
    """
    account = provider_of(uow, require_reader(caller), provider).id
    found = uow.offerings.of_provider(account, page)
    seen = _seen(uow, found.items)
    return Page(tuple(_details(uow, one, account, now_ms, seen) for one in found.items), found.next)


def visible_offering(
    uow: UnitOfWork, viewer: AccountId | None, offering_id: OfferingId
) -> Offering:
    """Return an offering that `viewer` may see.

    Errors: NotFound, whether it does not exist or is not theirs to see.
    """
    found = uow.offerings.get(offering_id)
    if found is None or not visible(found, viewer):
        raise NotFound("there is no such offering, or it is not shared with you")
    return found


def details(
    uow: UnitOfWork, offering: Offering, viewer: AccountId | None, now_ms: int
) -> OfferingDetails:
    """Say how an offering stands for `viewer` now."""
    found = _details(uow, offering, viewer, now_ms, _seen(uow, [offering]))
    script = promises_of(offering.terms).first_script
    if script is None or not found.own:
        return found
    return replace(found, script_text=uow.first_scripts.text(script.sha256))


def _seen(uow: UnitOfWork, offerings: Sequence[Offering]) -> _Seen:
    return _Seen(plan_checks.words_about(uow, offerings))


def _changed(uow: UnitOfWork, after: Offering, now_ms: int) -> OfferingDetails:
    """Store a changed offering, have it compared if it is on offer, and show it to its provider."""
    uow.offerings.save(after)
    plan_checks.ask(uow, after, now_ms)
    return details(uow, replace(after, version=after.version + 1), after.provider, now_ms)


def _details(
    uow: UnitOfWork, offering: Offering, viewer: AccountId | None, now_ms: int, seen: _Seen
) -> OfferingDetails:
    place = (offering.provider, offering.pool)
    if place not in seen.online:
        seen.online[place] = online_agents(uow, *place, now_ms)
    if offering.provider not in seen.names:
        provider = uow.providers.get(offering.provider)
        seen.names[offering.provider] = provider.name if provider else ""
    if offering.pool not in seen.drivers:
        pool = uow.providers.pool(offering.pool)
        seen.drivers[offering.pool] = pool.driver if pool else ""
    agents, own = seen.online[place], viewer == offering.provider
    checks = current(seen.checks[offering.id], offering.version, agents)
    return OfferingDetails(
        offering=offering,
        provider_name=seen.names[offering.provider],
        driver=seen.drivers[offering.pool],
        hindrance=hindrance(offering, viewer, agent_online=bool(agents), plan_fails=fails(checks)),
        own=own,
        checks=checks,
        plan=_plan(uow, offering, checks, agents) if own else PlanState.UNKNOWN,
    )


def _plan(
    uow: UnitOfWork, offering: Offering, checks: Sequence[PlanCheck], agents: Sequence[Kid]
) -> PlanState:
    """Say what the pool's agents make of an offering; one that tells its inventory compares plans too."""
    if checks:
        return PlanState.FAILS if fails(checks) else PlanState.FITS
    if offering.state is not OfferingState.PUBLISHED:
        return PlanState.UNKNOWN
    for agent in agents:
        found = uow.providers.holdings(offering.provider, agent)
        if found is not None and found.driver_version:
            return PlanState.AWAITED
    return PlanState.UNKNOWN


def _check_isolation(uow: UnitOfWork, pool: Pool, visibility: Visibility) -> None:
    """Keep strangers off machines that keep their tenants apart too little. Errors: NotForStrangers."""
    public = visibility is Visibility.PUBLIC
    if public and trusted_only(pool.driver) and uow.platform.mode() is not ServerMode.DEVELOPMENT:
        raise NotForStrangers(driver=pool.driver, pool=pool.id)


def _own(uow: UnitOfWork, caller: Caller, offering_id: OfferingId) -> Offering:
    provider = own_provider(uow, caller)
    found = uow.offerings.get(offering_id)
    if found is None or found.provider != provider.id:
        raise NotFound("there is no such offering of yours")
    return found


def _drafted(
    uow: UnitOfWork, provider: AccountId, id_: OfferingId, draft: OfferingDraft, now_ms: int
) -> Offering:
    pool = own_pool(uow, provider, draft.pool)
    offering = Offering(
        id=id_,
        provider=provider,
        pool=pool.id,
        state=OfferingState.DRAFT,
        visibility=draft.visibility,
        title=draft.title,
        description=draft.description,
        kind=draft.kind,
        image=draft.image,
        cpu_milli=draft.cpu_milli,
        memory_mib=draft.memory_mib,
        disk_gib=draft.disk_gib,
        country=draft.country,
        region=draft.region,
        asset=draft.asset,
        price_minor_per_hour=int(draft.price_minor_per_hour),
        stock=draft.stock,
        reserved=0,
        min_hours=draft.min_hours,
        max_hours=draft.max_hours,
        accept_mode=draft.accept_mode,
        provision_timeout_s=draft.provision_timeout_s,
        penalty_ppm=draft.penalty_ppm,
        settings=_settings(draft.settings),
        allowed_accounts=tuple(AccountId(one) for one in sorted(set(draft.allowed_accounts))),
        updated_at_ms=now_ms,
    )
    check_draft(offering)
    promises = Promises(draft.reset, draft.management_key, _first_script(uow, draft))
    return replace(offering, terms=terms_of(offering, promises))


def _first_script(uow: UnitOfWork, draft: OfferingDraft) -> FirstScript | None:
    """Keep the text of a draft's first script by its hash. Errors: Invalid."""
    if not draft.first_script:
        return None
    script = read_script(
        draft.first_script,
        draft.first_script_timeout_s,
        draft.first_script_on_failure,
        draft.provision_timeout_s,
    )
    uow.first_scripts.keep(ScriptText(script.sha256, draft.first_script))
    return script


def _settings(settings: Mapping[str, str]) -> dict[str, str]:
    for key, value in settings.items():
        if not key or len(key) > 80 or len(value) > 2_000:
            raise Invalid(
                "a setting has a name up to 80 and a value up to 2000 characters", field="settings"
            )
    return dict(sorted(settings.items()))

"""Provider profiles and pools."""

from __future__ import annotations

from decent_cloud.app.accounts import get_account, shows_an_offering
from decent_cloud.app.caller import Caller, require_writer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.identity.providers import Pool, Provider
from decent_cloud.kernel.errors import AlreadyExists, Conflict, Invalid, NotFound
from decent_cloud.kernel.ids import AccountId, PoolId
from decent_cloud.wire.v1.providers import CreatePool, CreateProvider

MAX_POOLS = 100
AUTO = "auto"  # an agent's setting; a pool says what it comes to, since tenants see it


class NotAProvider(Conflict):
    """This account is no provider yet; make it one first (decent provider create)."""

    code = "not_a_provider"


def create_provider(
    uow: UnitOfWork, caller: Caller, command: CreateProvider, now_ms: int
) -> Provider:
    """Make the calling account a provider.

    Errors: AlreadyExists, Invalid.
    """
    account = get_account(uow, require_writer(caller)).id
    if command.website and not command.website.startswith(("https://", "http://")):
        raise Invalid("a website starts with https://", field="website")
    if uow.providers.get(account) is not None:
        raise AlreadyExists("this account is a provider already")
    provider = Provider(
        id=account, name=command.name, website=command.website, created_at_ms=now_ms
    )
    uow.providers.add(provider)
    return provider


def read_provider(uow: UnitOfWork, caller: Caller, provider: AccountId) -> Provider:
    """Show a provider's profile: to anyone once it has an offering that anyone may see, else if signed.

    Errors: NotFound.
    """
    found = uow.providers.get(provider)
    if found is None or not (caller.viewer or shows_an_offering(uow, provider, None)):
        raise NotFound("there is no such provider")
    return found


def own_provider(uow: UnitOfWork, caller: Caller, provider: AccountId | None = None) -> Provider:
    """Return the caller's own provider profile, for writing.

    Errors: NotAProvider; NotFound if another provider than one's own is named.
    """
    account = require_writer(caller)
    return provider_of(uow, account, provider)


def provider_of(uow: UnitOfWork, account: AccountId, asked: AccountId | None = None) -> Provider:
    """Return an account's provider profile.

    Errors: NotAProvider; NotFound if another provider than its own is asked for.
    """
    if asked is not None and asked != account:
        raise NotFound("there is no such provider, or it is not yours")
    found = uow.providers.get(account)
    if found is None:
        raise NotAProvider
    return found


def create_pool(
    uow: UnitOfWork, caller: Caller, command: CreatePool, now_ms: int, pool_id: str
) -> Pool:
    """Add a place where agents of one driver run; `pool_id` is freshly minted.

    Errors: NotAProvider, AlreadyExists for a taken name, Invalid beyond 100 pools or for `auto`.
    """
    provider = own_provider(uow, caller)
    if command.driver == AUTO:
        raise Invalid("name what makes the machines, such as docker or sandbox", field="driver")
    pools = uow.providers.pools(provider.id)
    if any(pool.name == command.name for pool in pools):
        raise AlreadyExists(f"there is a pool named {command.name} already; choose another name")
    if len(pools) >= MAX_POOLS:
        raise Invalid(f"a provider has at most {MAX_POOLS} pools", field="name")
    pool = Pool(
        id=PoolId(pool_id),
        provider=provider.id,
        name=command.name,
        driver=command.driver,
        created_at_ms=now_ms,
    )
    uow.providers.add_pool(pool)
    return pool


def list_pools(uow: UnitOfWork, caller: Caller) -> tuple[Pool, ...]:
    """List the caller's pools, oldest first; its agents may read them too.

    Errors: NotAProvider.
    """
    return uow.providers.pools(provider_of(uow, caller.account).id)


def own_pool(uow: UnitOfWork, provider: AccountId, pool: str, field: str = "pool") -> Pool:
    """Return one of a provider's pools.

    Errors: Invalid naming the field.
    """
    found = uow.providers.pool(PoolId(pool)) if pool else None
    if found is None or found.provider != provider:
        raise Invalid("name one of your pools (decent pool list)", field=field)
    return found

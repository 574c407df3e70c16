"""Provider profiles and pools."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from decent_cloud.app import providers
from decent_cloud.domain.identity.providers import Pool, Provider
from decent_cloud.http.call import Call
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.providers import (
    CreatePool,
    CreateProvider,
    PoolsView,
    PoolView,
    ProviderView,
)


@post("/providers", summary="Become a provider")
async def create_provider(
    call: NamedDependency[Call], data: JSONBody[CreateProvider]
) -> Response[ProviderView]:
    """Make the calling account a provider; name and website are public."""
    return await call.write(
        lambda uow: provider_view(providers.create_provider(uow, call.caller, data, call.now_ms)),
        status=201,
    )


@get("/providers/{provider:str}", summary="A provider's profile")
async def read_provider(call: NamedDependency[Call], provider: FromPath[str]) -> ProviderView:
    """Return a profile; without a signature only of a provider with a public offering."""
    found = await call.read(
        lambda uow: providers.read_provider(uow, call.caller, AccountId(provider))
    )
    return provider_view(found)


@post("/pools", summary="Create a pool")
async def create_pool(
    call: NamedDependency[Call], data: JSONBody[CreatePool]
) -> Response[PoolView]:
    """Add a named place where agents of one driver run."""
    pool_id = call.new_id("w")
    return await call.write(
        lambda uow: pool_view(providers.create_pool(uow, call.caller, data, call.now_ms, pool_id)),
        status=201,
    )


@get("/pools", summary="The caller's pools")
async def list_pools(call: NamedDependency[Call]) -> PoolsView:
    """List the pools of the calling provider, oldest first."""
    found = await call.read(lambda uow: providers.list_pools(uow, call.caller))
    return PoolsView(items=tuple(pool_view(pool) for pool in found))


def provider_view(provider: Provider) -> ProviderView:
    """Render a public profile."""
    return ProviderView(
        id=provider.id,
        name=provider.name,
        website=provider.website,
        created_at=rfc3339(provider.created_at_ms),
    )


def pool_view(pool: Pool) -> PoolView:
    """Render a pool for its provider."""
    return PoolView(
        id=pool.id,
        provider=pool.provider,
        name=pool.name,
        driver=pool.driver,
        created_at=rfc3339(pool.created_at_ms),
        log_seq=pool.log_seq,
        log_hash=pool.log_hash,
    )


ROUTES = (create_provider, read_provider, create_pool, list_pools)

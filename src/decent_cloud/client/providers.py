"""Providers, their pools and their agents, as the API knows them."""

from __future__ import annotations

from decent_cloud.client.transport import Transport
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.agents import (
    AgentsView,
    AsidesView,
    AsideView,
    CreateDelegation,
    DecideAside,
    DelegationsView,
    DelegationView,
    RevokeDelegation,
)
from decent_cloud.wire.v1.providers import (
    CreatePool,
    CreateProvider,
    PoolsView,
    PoolView,
    ProviderView,
)


class ProvidersApi:
    """The routes of a provider; each may raise ApiProblem, Unreachable or BadAnswer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateProvider) -> ProviderView:
        """Make the calling account a provider."""
        return self._transport.write("POST", "/providers", ProviderView, body)

    def read(self, provider: AccountId) -> ProviderView:
        """Return a provider's public profile."""
        return self._transport.get(f"/providers/{provider}", ProviderView)

    def create_pool(self, body: CreatePool) -> PoolView:
        """Make a pool."""
        return self._transport.write("POST", "/pools", PoolView, body)

    def pools(self) -> PoolsView:
        """Return the calling provider's pools."""
        return self._transport.get("/pools", PoolsView)

    def find_pool(self, text: str) -> PoolView:
        """Return the pool with this id or name.

        Errors: NotFound, Invalid for a name that two pools have.
        """
        pools = self.pools().items
        found = [pool for pool in pools if text in {pool.id, pool.name}]
        if not found:
            known = ", ".join(pool.name for pool in pools) or "none yet: decent pool create"
            raise NotFound(f"there is no pool {text!r} of yours; there are: {known}", field="pool")
        if len(found) > 1:
            raise Invalid(f"{len(found)} pools are called {text!r}; give the id", field="pool")
        return found[0]

    def agents(self, provider: AccountId) -> AgentsView:
        """Return how the provider's agents stand."""
        return self._transport.get(f"/providers/{provider}/agent-status", AgentsView)

    def asides(self, provider: AccountId) -> AsidesView:
        """Return the machines that the provider's agents keep aside."""
        return self._transport.get(f"/providers/{provider}/quarantine", AsidesView)

    def decide_aside(self, provider: AccountId, body: DecideAside) -> AsideView:
        """Say what is to become of a machine that is kept aside."""
        return self._transport.write("POST", f"/providers/{provider}/quarantine", AsideView, body)

    def delegations(self, provider: AccountId) -> DelegationsView:
        """Return the newest delegation or revocation of every agent."""
        return self._transport.get(f"/providers/{provider}/agent-delegations", DelegationsView)

    def delegate(self, provider: AccountId, body: CreateDelegation) -> DelegationView:
        """Let an agent act."""
        path = f"/providers/{provider}/agent-delegations"
        return self._transport.write("POST", path, DelegationView, body)

    def revoke(
        self, provider: AccountId, agent_pubkey: str, body: RevokeDelegation
    ) -> DelegationView:
        """End an agent's delegation."""
        path = f"/providers/{provider}/agent-delegations/{agent_pubkey}"
        return self._transport.write("DELETE", path, DelegationView, body)

"""Where providers, pools, delegations, agents and pairings are kept."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.identity.providers import (
    AgentHoldings,
    AgentPresence,
    AsideDecision,
    Delegation,
    Pairing,
    Pool,
    PoolLogEntry,
    Provider,
)
from decent_cloud.kernel.ids import AccountId, Kid, PoolId


class Providers(Protocol):
    """Everything about the provider side."""

    def get(self, provider: AccountId) -> Provider | None:
        """Return the provider."""
        ...

    def add(self, provider: Provider) -> None:
        """Store a new provider."""
        ...

    def save(self, provider: Provider) -> None:
        """Replace the provider if its version is unchanged."""
        ...

    def pool(self, pool: PoolId) -> Pool | None:
        """Return a pool."""
        ...

    def pools(self, provider: AccountId) -> tuple[Pool, ...]:
        """Return a provider's pools, oldest first."""
        ...

    def add_pool(self, pool: Pool) -> None:
        """Store a new pool; AlreadyExists if the provider has one of that name."""
        ...

    def append_log(self, pool: Pool, entry: PoolLogEntry) -> None:
        """Append to the pool's assignment log; `pool` carries the new head and the version read."""
        ...

    def log_hash(self, pool: PoolId, seq: int) -> str:
        """Return the log's hash at `seq`, empty if the log is shorter."""
        ...

    def delegation(self, provider: AccountId, agent: Kid) -> Delegation | None:
        """Return the newest delegation or revocation of an agent."""
        ...

    def delegations(self, provider: AccountId) -> tuple[Delegation, ...]:
        """Return all of a provider's, oldest first."""
        ...

    def put_delegation(self, delegation: Delegation) -> None:
        """Insert (version 1) or replace the row of (provider, agent) if unchanged since read."""
        ...

    def presence(self, provider: AccountId, agent: Kid) -> AgentPresence | None:
        """Return when an agent was last heard."""
        ...

    def presences(self, provider: AccountId) -> tuple[AgentPresence, ...]:
        """Return all agents ever heard."""
        ...

    def put_presence(self, presence: AgentPresence) -> None:
        """Insert or replace."""
        ...

    def holdings(self, provider: AccountId, agent: Kid) -> AgentHoldings | None:
        """Return what an agent has and keeps aside, None before its first heartbeat."""
        ...

    def put_holdings(self, holdings: AgentHoldings) -> None:
        """Insert or replace."""
        ...

    def aside_decisions(self, provider: AccountId, agent: Kid) -> tuple[AsideDecision, ...]:
        """Return the provider's words about what an agent keeps aside, by instance."""
        ...

    def put_aside_decision(self, decision: AsideDecision) -> None:
        """Insert or replace."""
        ...

    def drop_aside_decision(self, provider: AccountId, agent: Kid, instance: str) -> None:
        """Forget the word about a machine that is no longer kept aside."""
        ...

    def pairing(self, rid: str) -> Pairing | None:
        """Return a pairing, also an expired one."""
        ...

    def put_pairing(self, pairing: Pairing) -> None:
        """Insert (version 1) or replace if its version is unchanged."""
        ...

    def drop_pairings(self, before_ms: int) -> int:
        """Remove those that expired before; returns how many."""
        ...

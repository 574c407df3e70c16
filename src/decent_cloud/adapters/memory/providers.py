"""Providers, pools, delegations, agents and pairings in dictionaries."""

from __future__ import annotations

from decent_cloud.adapters.memory.tables import Journal, Table
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
from decent_cloud.kernel.errors import AlreadyExists
from decent_cloud.kernel.ids import AccountId, Kid, PoolId


class MemoryProviders:
    """Keeps the port `Providers`."""

    def __init__(self, journal: Journal) -> None:
        self._providers: Table[Provider] = Table(journal)
        self._pools: Table[Pool] = Table(journal)
        self._log: Table[PoolLogEntry] = Table(journal)
        self._delegations: Table[Delegation] = Table(journal)
        self._presences: Table[AgentPresence] = Table(journal)
        self._holdings: Table[AgentHoldings] = Table(journal)
        self._decisions: Table[AsideDecision] = Table(journal)
        self._pairings: Table[Pairing] = Table(journal)

    def get(self, provider: AccountId) -> Provider | None:
        return self._providers.get(provider)

    def add(self, provider: Provider) -> None:
        self._providers.add(provider, provider.id)

    def save(self, provider: Provider) -> None:
        self._providers.save(provider, provider.id)

    def pool(self, pool: PoolId) -> Pool | None:
        return self._pools.get(pool)

    def pools(self, provider: AccountId) -> tuple[Pool, ...]:
        found = (pool for pool in self._pools if pool.provider == provider)
        return tuple(sorted(found, key=lambda pool: (pool.created_at_ms, pool.id)))

    def add_pool(self, pool: Pool) -> None:
        if any(other.name == pool.name for other in self.pools(pool.provider)):
            raise AlreadyExists
        self._pools.add(pool, pool.id)

    def append_log(self, pool: Pool, entry: PoolLogEntry) -> None:
        self._pools.save(pool, pool.id)
        self._log.add(entry, entry.pool, entry.seq)

    def log_hash(self, pool: PoolId, seq: int) -> str:
        entry = self._log.get(pool, seq)
        return entry.hash if entry else ""

    def delegation(self, provider: AccountId, agent: Kid) -> Delegation | None:
        return self._delegations.get(provider, agent)

    def delegations(self, provider: AccountId) -> tuple[Delegation, ...]:
        found = (row for row in self._delegations if row.provider == provider)
        return tuple(sorted(found, key=lambda row: (row.created_at_ms, row.agent)))

    def put_delegation(self, delegation: Delegation) -> None:
        self._delegations.save_or_add(delegation, delegation.provider, delegation.agent)

    def presence(self, provider: AccountId, agent: Kid) -> AgentPresence | None:
        return self._presences.get(provider, agent)

    def presences(self, provider: AccountId) -> tuple[AgentPresence, ...]:
        found = (row for row in self._presences if row.provider == provider)
        return tuple(sorted(found, key=lambda row: row.agent))

    def put_presence(self, presence: AgentPresence) -> None:
        self._presences.put(presence, presence.provider, presence.agent)

    def holdings(self, provider: AccountId, agent: Kid) -> AgentHoldings | None:
        return self._holdings.get(provider, agent)

    def put_holdings(self, holdings: AgentHoldings) -> None:
        self._holdings.put(holdings, holdings.provider, holdings.agent)

    def aside_decisions(self, provider: AccountId, agent: Kid) -> tuple[AsideDecision, ...]:
        found = (row for row in self._decisions if (row.provider, row.agent) == (provider, agent))
        return tuple(sorted(found, key=lambda row: row.instance))

    def put_aside_decision(self, decision: AsideDecision) -> None:
        self._decisions.put(decision, decision.provider, decision.agent, decision.instance)

    def drop_aside_decision(self, provider: AccountId, agent: Kid, instance: str) -> None:
        if self._decisions.get(provider, agent, instance) is not None:
            self._decisions.remove(provider, agent, instance)

    def pairing(self, rid: str) -> Pairing | None:
        return self._pairings.get(rid)

    def put_pairing(self, pairing: Pairing) -> None:
        self._pairings.save_or_add(pairing, pairing.rid)

    def drop_pairings(self, before_ms: int) -> int:
        return self._pairings.remove_where(lambda pairing: pairing.expires_at_ms < before_ms)

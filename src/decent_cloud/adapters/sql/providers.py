"""Providers, pools, delegations, agents and pairings in SQL."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
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

_PROVIDERS = Rows(Provider, "providers", ("id",))
_POOLS = Rows(Pool, "pools", ("id",))
_LOG = Rows(PoolLogEntry, "pool_log", ("pool", "seq"))
_DELEGATIONS = Rows(Delegation, "delegations", ("provider", "agent"))
_PRESENCES = Rows(AgentPresence, "agent_presences", ("provider", "agent"))
_HOLDINGS = Rows(AgentHoldings, "agent_holdings", ("provider", "agent"))
_DECISIONS = Rows(AsideDecision, "aside_decisions", ("provider", "agent", "instance"))
_PAIRINGS = Rows(Pairing, "pairings", ("rid",))


class SqlProviders:
    """Keeps the port `Providers`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, provider: AccountId) -> Provider | None:
        return _PROVIDERS.get(self._session, id=provider)

    def add(self, provider: Provider) -> None:
        _PROVIDERS.add(self._session, provider)

    def save(self, provider: Provider) -> None:
        _PROVIDERS.save(self._session, provider)

    def pool(self, pool: PoolId) -> Pool | None:
        return _POOLS.get(self._session, id=pool)

    def pools(self, provider: AccountId) -> tuple[Pool, ...]:
        tail = "WHERE provider = :p ORDER BY created_at_ms, id"
        return _POOLS.all(self._session, tail, {"p": provider})

    def add_pool(self, pool: Pool) -> None:
        _POOLS.add(self._session, pool)

    def append_log(self, pool: Pool, entry: PoolLogEntry) -> None:
        _POOLS.save(self._session, pool)
        _LOG.add(self._session, entry)

    def log_hash(self, pool: PoolId, seq: int) -> str:
        entry = _LOG.get(self._session, pool=pool, seq=seq)
        return entry.hash if entry else ""

    def delegation(self, provider: AccountId, agent: Kid) -> Delegation | None:
        return _DELEGATIONS.get(self._session, provider=provider, agent=agent)

    def delegations(self, provider: AccountId) -> tuple[Delegation, ...]:
        tail = "WHERE provider = :p ORDER BY created_at_ms, agent"
        return _DELEGATIONS.all(self._session, tail, {"p": provider})

    def put_delegation(self, delegation: Delegation) -> None:
        _DELEGATIONS.save_or_add(self._session, delegation)

    def presence(self, provider: AccountId, agent: Kid) -> AgentPresence | None:
        return _PRESENCES.get(self._session, provider=provider, agent=agent)

    def presences(self, provider: AccountId) -> tuple[AgentPresence, ...]:
        tail = "WHERE provider = :p ORDER BY agent"
        return _PRESENCES.all(self._session, tail, {"p": provider})

    def put_presence(self, presence: AgentPresence) -> None:
        _PRESENCES.put(self._session, presence)

    def holdings(self, provider: AccountId, agent: Kid) -> AgentHoldings | None:
        return _HOLDINGS.get(self._session, provider=provider, agent=agent)

    def put_holdings(self, holdings: AgentHoldings) -> None:
        _HOLDINGS.put(self._session, holdings)

    def aside_decisions(self, provider: AccountId, agent: Kid) -> tuple[AsideDecision, ...]:
        tail = "WHERE provider = :p AND agent = :a ORDER BY instance"
        return _DECISIONS.all(self._session, tail, {"p": provider, "a": agent})

    def put_aside_decision(self, decision: AsideDecision) -> None:
        _DECISIONS.put(self._session, decision)

    def drop_aside_decision(self, provider: AccountId, agent: Kid, instance: str) -> None:
        sql = "DELETE FROM aside_decisions WHERE provider = :p AND agent = :a AND instance = :i"
        self._session.run(sql, {"p": provider, "a": agent, "i": instance})

    def pairing(self, rid: str) -> Pairing | None:
        return _PAIRINGS.get(self._session, rid=rid)

    def put_pairing(self, pairing: Pairing) -> None:
        _PAIRINGS.save_or_add(self._session, pairing)

    def drop_pairings(self, before_ms: int) -> int:
        sql = "DELETE FROM pairings WHERE expires_at_ms < :before"
        return self._session.run(sql, {"before": before_ms})

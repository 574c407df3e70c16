"""Providers, their pools, and what they let agents do."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.ids import AccountId, Kid, PoolId
from decent_cloud.kernel.status import AgentStatus, AsideWord, Observed, Permission

OFFLINE_AFTER_MS = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Provider:
    """An account that lists offerings; name and website are public."""

    id: AccountId
    name: str
    website: str
    created_at_ms: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class Pool:
    """A provider's named place where agents of one driver run, and the head of its assignment log."""

    id: PoolId
    provider: AccountId
    name: str
    driver: str
    created_at_ms: int
    log_seq: int = 0
    log_hash: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class PoolLogEntry:
    """One step of a pool's assignment log: hash = SHA-256 over the previous hash and this entry."""

    pool: PoolId
    seq: int
    hash: str
    entry: str  # canonical JSON


@dataclass(frozen=True, slots=True)
class Delegation:
    """The newest delegation or revocation of one agent; `digest` is the next statement's `prev`."""

    provider: AccountId
    agent: Kid
    pool: PoolId
    permissions: tuple[Permission, ...]
    not_after_s: int  # 0 = none
    revoked: bool
    statement: str  # JSON of the envelope
    digest: str
    label: str
    created_at_ms: int
    version: int = 1

    def live(self, now_ms: int) -> bool:
        """Tell whether it grants anything now; the last second counts in full, as in `domain/keys`."""
        running = self.not_after_s == 0 or now_ms < (self.not_after_s + 1) * SECOND_MS
        return running and not self.revoked


@dataclass(frozen=True, slots=True)
class AgentPresence:
    """When an agent was last heard and what it said of itself."""

    provider: AccountId
    agent: Kid
    pool: PoolId
    last_seen_ms: int
    agent_version: str
    driver: str
    scope: str
    instances: int
    alarms: tuple[str, ...] = ()

    def online(self, now_ms: int) -> bool:
        """Tell whether it was heard lately."""
        return now_ms - self.last_seen_ms < OFFLINE_AFTER_MS


@dataclass(frozen=True, slots=True)
class Aside:
    """A machine with our tag that an agent keeps aside, as its newest heartbeat shows it."""

    contract: str
    instance: str  # the driver's handle as text
    reason: str
    first_seen_ms: int
    state: Observed


@dataclass(frozen=True, slots=True)
class AgentHoldings:
    """What an agent has and what it keeps aside, as its newest heartbeat says; `free` -1 = not known."""

    provider: AccountId
    agent: Kid
    at_ms: int
    running: int
    free: int
    driver_version: str
    host: str
    asides: tuple[Aside, ...] = ()


@dataclass(frozen=True, slots=True)
class AsideDecision:
    """A provider's word about one machine that its agent keeps aside."""

    provider: AccountId
    agent: Kid
    instance: str
    word: AsideWord
    by: Kid
    at_ms: int


def agent_status(
    delegation: Delegation, presence: AgentPresence | None, now_ms: int
) -> AgentStatus:
    """Return how a provider sees an agent: what may no longer act is revoked, whoever spoke last."""
    if not delegation.live(now_ms):
        return AgentStatus.REVOKED
    if presence is not None and presence.online(now_ms):
        return AgentStatus.ONLINE
    return AgentStatus.OFFLINE


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two sealed messages under one code; the relay reads neither."""

    rid: str
    account: AccountId
    pool: str
    old_message: str
    new_message: str
    expires_at_ms: int
    version: int = 1

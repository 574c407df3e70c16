"""Agents: what their provider lets them do, when they were heard, and whether they may act now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from decent_cloud.app import asides
from decent_cloud.app.accounts import load_chain
from decent_cloud.app.caller import Caller, CallerKind, require_reader
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.providers import own_pool, own_provider, provider_of
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.identity.accounts import Device
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.identity.providers import (
    AgentHoldings,
    AgentPresence,
    Delegation,
    Pool,
    agent_status,
)
from decent_cloud.domain.keys import delegations as statements
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.errors import WrongSequence
from decent_cloud.domain.keys.statements import Statement, StatementType, digest_of
from decent_cloud.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from decent_cloud.kernel.ids import AccountId, Digest, Kid, PoolId
from decent_cloud.kernel.status import AgentStatus, Permission
from decent_cloud.wire.v1.agents import CreateDelegation, Heartbeat, RevokeDelegation


class AgentNotAllowed(Forbidden):
    """This agent has no live delegation for that; its provider must sign one (decent agents approve)."""

    code = "agent_not_allowed"


class WrongDriver(Conflict):
    """The agent runs another driver than its pool is for; change its settings, or register it with another pool."""

    code = "wrong_driver"


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent as its provider sees it; `device` is None once it left the chain's store."""

    delegation: Delegation
    presence: AgentPresence | None
    status: AgentStatus
    sig_hex: str
    holdings: AgentHoldings | None = None


@dataclass(frozen=True, slots=True)
class AgentSelfDetails:
    """Who the calling agent is and where it works."""

    delegation: Delegation
    pool: Pool


def authorize(
    uow: UnitOfWork,
    caller: Caller,
    permission: Permission | None,
    now_ms: int,
    pool: PoolId | None = None,
) -> Delegation:
    """Check that the calling agent is active in its provider's chain and holds a live delegation
    with this permission (None: any) for this pool (None: whichever is its own).

    Errors: AgentNotAllowed.
    """
    if caller.kind is not CallerKind.AGENT:
        raise AgentNotAllowed("only an agent may do this")
    device = uow.accounts.device(caller.account, caller.kid)
    found = uow.providers.delegation(caller.account, caller.kid)
    if device is None or not device.active or found is None or not found.live(now_ms):
        raise AgentNotAllowed
    if permission is not None and permission not in found.permissions:
        raise AgentNotAllowed(f"the delegation lacks the permission {permission.value}")
    if pool is not None and pool != found.pool:
        raise AgentNotAllowed("the delegation is for another pool")
    return found


def create_delegation(
    uow: UnitOfWork, caller: Caller, provider: AccountId, command: CreateDelegation, now_ms: int
) -> AgentRow:
    """Let an agent act, as a device of its provider signed it.

    A new delegation of an agent names the last statement about it, also the one that revoked it.
    Errors: any `KeyRefused` (WrongSequence for another `prev`), Invalid.
    """
    own_provider(uow, caller, provider)
    chain = load_chain(uow, provider)
    statement = from_wire(command.statement)
    signed = statements.verify_delegation(statement, chain)
    _check_agent(chain, signed.agent)
    pool = own_pool(uow, provider, signed.pool_id, "statement.pool")
    before = uow.providers.delegation(provider, signed.agent)
    _check_prev(before, signed.prev)
    if not signed.live_at(now_ms):
        raise Invalid("not_after has passed", field="statement.not_after")
    delegation = Delegation(
        provider=provider,
        agent=signed.agent,
        pool=pool.id,
        permissions=_permissions(signed.permissions),
        not_after_s=signed.not_after_s,
        revoked=False,
        statement=statement_text(statement),
        digest=_digest(StatementType.DELEGATION, statement),
        label=command.label,
        created_at_ms=now_ms,
        version=before.version if before else 1,
    )
    uow.providers.put_delegation(delegation)
    return _row(uow, delegation, now_ms)


def revoke_delegation(
    uow: UnitOfWork,
    caller: Caller,
    provider: AccountId,
    agent: Kid,
    command: RevokeDelegation,
    now_ms: int,
) -> AgentRow:
    """End an agent's delegation at once.

    Errors: any `KeyRefused`, NotFound for an agent that never had one.
    """
    own_provider(uow, caller, provider)
    statement = from_wire(command.statement)
    signed = statements.verify_revocation(statement, load_chain(uow, provider))
    before = uow.providers.delegation(provider, signed.agent)
    if before is None or signed.agent != agent:
        raise NotFound("there is no such delegation")
    _check_prev(before, signed.prev)
    revoked = Delegation(
        provider=provider,
        agent=agent,
        pool=before.pool,
        permissions=before.permissions,
        not_after_s=before.not_after_s,
        revoked=True,
        statement=statement_text(statement),
        digest=_digest(StatementType.REVOCATION, statement),
        label=before.label,
        created_at_ms=now_ms,
        version=before.version,
    )
    uow.providers.put_delegation(revoked)
    return _row(uow, revoked, now_ms)


def find_agent(uow: UnitOfWork, provider: AccountId, pubkey_hex: str) -> Kid:
    """Return the agent device with this Ed25519 key, as delegation routes name it.

    Errors: NotFound.
    """
    for device in uow.accounts.devices(provider):
        if device.sig_hex == pubkey_hex:
            return device.kid
    raise NotFound("there is no such delegation")


def list_agents(
    uow: UnitOfWork, caller: Caller, provider: AccountId, now_ms: int
) -> tuple[AgentRow, ...]:
    """List all delegations of the caller's provider with how each agent stands, oldest first."""
    provider_of(uow, require_reader(caller), provider)
    return tuple(_row(uow, one, now_ms) for one in uow.providers.delegations(provider))


def heartbeat(
    uow: UnitOfWork, caller: Caller, provider: AccountId, command: Heartbeat, now_ms: int
) -> AgentRow:
    """Note that an agent is alive, with what it says of itself.

    One with another driver than its pool's is not heard, so that nothing is rented that it cannot make.
    Errors: AgentNotAllowed, WrongDriver.
    """
    if provider != caller.account:
        raise AgentNotAllowed("an agent speaks for its own provider only")
    delegation = authorize(uow, caller, Permission.HEARTBEAT, now_ms)
    _check_driver(uow, delegation.pool, command.driver)
    uow.providers.put_presence(
        AgentPresence(
            provider=provider,
            agent=caller.kid,
            pool=delegation.pool,
            last_seen_ms=now_ms,
            agent_version=command.version,
            driver=command.driver,
            scope=command.scope,
            instances=command.instances,
            alarms=command.alarms,
        )
    )
    asides.keep(uow, provider, caller.kid, command, now_ms)
    return _row(uow, delegation, now_ms)


def agent_self(uow: UnitOfWork, caller: Caller, now_ms: int) -> AgentSelfDetails:
    """Tell an agent who it is; needs a live delegation, whatever it permits.

    Errors: AgentNotAllowed.
    """
    delegation = authorize(uow, caller, None, now_ms)
    pool = uow.providers.pool(delegation.pool)
    if pool is None:
        raise AgentNotAllowed
    return AgentSelfDetails(delegation, pool)


def agent_online(uow: UnitOfWork, provider: AccountId, pool: PoolId, now_ms: int) -> bool:
    """Tell whether some agent that may provision in this pool was heard within 5 minutes."""
    return next(_online(uow, provider, pool, now_ms), None) is not None


def online_agents(
    uow: UnitOfWork, provider: AccountId, pool: PoolId, now_ms: int
) -> tuple[Kid, ...]:
    """Return the agents that may provision in this pool and were heard within 5 minutes."""
    return tuple(_online(uow, provider, pool, now_ms))


def _online(uow: UnitOfWork, provider: AccountId, pool: PoolId, now_ms: int) -> Iterator[Kid]:
    for presence in uow.providers.presences(provider):
        if presence.pool != pool or not presence.online(now_ms):
            continue
        device = uow.accounts.device(provider, presence.agent)
        found = uow.providers.delegation(provider, presence.agent)
        if device is None or not device.active or found is None or not found.live(now_ms):
            continue
        if found.pool == pool and Permission.PROVISION in found.permissions:
            yield presence.agent


def _check_driver(uow: UnitOfWork, pool: PoolId, driver: str) -> None:
    found = uow.providers.pool(pool)
    if found is not None and found.driver != driver:
        raise WrongDriver(
            f"this agent runs the driver {driver}, and its pool {found.name} is for {found.driver}:"
            f' set driver = "{found.driver}" in its settings, or register it with a pool for {driver}',
            pool_driver=found.driver,
        )


def _row(uow: UnitOfWork, delegation: Delegation, now_ms: int) -> AgentRow:
    device = uow.accounts.device(delegation.provider, delegation.agent)
    presence = uow.providers.presence(delegation.provider, delegation.agent)
    return AgentRow(
        delegation=delegation,
        presence=presence,
        status=_status(delegation, device, presence, now_ms),
        sig_hex=device.sig_hex if device else "",
        holdings=uow.providers.holdings(delegation.provider, delegation.agent),
    )


def _status(
    delegation: Delegation, device: Device | None, presence: AgentPresence | None, now_ms: int
) -> AgentStatus:
    if device is None or not device.active:
        return AgentStatus.REVOKED
    return agent_status(delegation, presence, now_ms)


def _check_agent(chain: ChainState, agent: Kid) -> None:
    device = chain.device(agent)
    if device is None or not device.is_agent:
        raise Invalid(
            "the agent is no active device of type agent in your chain; add it first",
            field="statement.agent",
        )


def _check_prev(before: Delegation | None, prev: Digest | None) -> None:
    """Each statement about an agent follows the last one, so that none can be played back."""
    known = before.digest if before else ""
    if (prev or "") != known:
        raise WrongSequence(
            "prev does not name the last statement about this agent; read it and sign anew",
            digest=known,
        )


def _permissions(words: tuple[str, ...]) -> tuple[Permission, ...]:
    unknown = [word for word in words if word not in set(Permission)]
    if unknown or not words:
        known = ", ".join(sorted(Permission))
        raise Invalid(f"permissions are some of: {known}", field="statement.perms")
    return tuple(Permission(word) for word in words)


def _digest(kind: StatementType, statement: Statement) -> Digest:
    return digest_of(kind, statement.payload)

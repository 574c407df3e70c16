"""Agents: their delegations and status for the provider; heartbeat and self for the agent."""

from __future__ import annotations

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from decent_cloud.app import agents, asides
from decent_cloud.app.agents import AgentRow, AgentSelfDetails
from decent_cloud.app.asides import AsideRow
from decent_cloud.http.call import Call
from decent_cloud.kernel.clock import SECOND_MS, rfc3339
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.agents import (
    AgentSelf,
    AgentsView,
    AgentView,
    AsidesView,
    AsideView,
    CreateDelegation,
    DecideAside,
    DelegationsView,
    DelegationView,
    Heartbeat,
    RevokeDelegation,
)
from decent_cloud.wire.v1.money import Amount
from decent_cloud.wire.v1.statements import StatementWire


@post("/providers/{provider:str}/agent-delegations", summary="Let an agent act")
async def create_delegation(
    call: NamedDependency[Call], provider: FromPath[str], data: JSONBody[CreateDelegation]
) -> Response[DelegationView]:
    """Store a delegation that a device of the provider signed; its `prev` names the last statement about the agent."""
    return await call.write(
        lambda uow: delegation_view(
            agents.create_delegation(uow, call.caller, AccountId(provider), data, call.now_ms)
        ),
        status=201,
    )


@get("/providers/{provider:str}/agent-delegations", summary="Delegations")
async def list_delegations(call: NamedDependency[Call], provider: FromPath[str]) -> DelegationsView:
    """List the newest delegation or revocation of every agent, oldest first."""
    rows = await call.read(
        lambda uow: agents.list_agents(uow, call.caller, AccountId(provider), call.now_ms)
    )
    return DelegationsView(items=tuple(delegation_view(row) for row in rows))


@delete(
    "/providers/{provider:str}/agent-delegations/{agent_pubkey:str}",
    status_code=200,
    summary="Revoke an agent",
)
async def revoke_delegation(
    call: NamedDependency[Call],
    provider: FromPath[str],
    agent_pubkey: FromPath[str],
    data: JSONBody[RevokeDelegation],
) -> Response[DelegationView]:
    """Store a signed revocation; the agent can do nothing more, at once."""
    owner = AccountId(provider)
    return await call.write(
        lambda uow: delegation_view(
            agents.revoke_delegation(
                uow,
                call.caller,
                owner,
                agents.find_agent(uow, owner, agent_pubkey),
                data,
                call.now_ms,
            )
        )
    )


@get("/providers/{provider:str}/agent-status", summary="Agents")
async def list_agents(call: NamedDependency[Call], provider: FromPath[str]) -> AgentsView:
    """Say of every agent when it was last heard; offline after 5 minutes."""
    rows = await call.read(
        lambda uow: agents.list_agents(uow, call.caller, AccountId(provider), call.now_ms)
    )
    return AgentsView(items=tuple(agent_view(row) for row in rows))


@post("/providers/{provider:str}/heartbeat", status_code=200, summary="Heartbeat")
async def heartbeat(
    call: NamedDependency[Call], provider: FromPath[str], data: JSONBody[Heartbeat]
) -> Response[AgentView]:
    """Note that the calling agent is alive."""
    return await call.write(
        lambda uow: agent_view(
            agents.heartbeat(uow, call.caller, AccountId(provider), data, call.now_ms)
        )
    )


@get("/agents/me", summary="The calling agent")
async def read_own_agent(call: NamedDependency[Call]) -> AgentSelf:
    """Tell an agent where it works and what it may do."""
    found = await call.read(lambda uow: agents.agent_self(uow, call.caller, call.now_ms))
    return self_view(found, call.edge.platform_key.platform_id)


@get("/providers/{provider:str}/quarantine", summary="Machines kept aside")
async def list_asides(call: NamedDependency[Call], provider: FromPath[str]) -> AsidesView:
    """List what the provider's agents keep aside, as their newest heartbeats say."""
    rows = await call.read(
        lambda uow: asides.list_asides(uow, call.caller, AccountId(provider), call.now_ms)
    )
    return AsidesView(items=tuple(aside_view(row) for row in rows))


@post("/providers/{provider:str}/quarantine", status_code=200, summary="Decide on a machine")
async def decide_aside(
    call: NamedDependency[Call], provider: FromPath[str], data: JSONBody[DecideAside]
) -> Response[AsideView]:
    """Say what is to become of a machine that an agent keeps aside."""
    return await call.write(
        lambda uow: aside_view(
            asides.decide(uow, call.caller, AccountId(provider), data, call.now_ms)
        )
    )


def aside_view(row: AsideRow) -> AsideView:
    """Render one machine that is kept aside."""
    aside, contract, cost_minor = row.aside, row.contract, row.cost_minor
    cost = None
    if contract is not None and cost_minor is not None:
        cost = Amount(amount_minor=str(cost_minor), asset=contract.asset)
    return AsideView(
        agent=row.agent,
        contract=aside.contract,
        contract_state=contract.state if contract else None,
        instance=aside.instance,
        reason=aside.reason,
        state=aside.state,
        first_seen_at=rfc3339(aside.first_seen_ms),
        age_s=row.age_ms // SECOND_MS,
        cost=cost,
        word=row.word,
    )


def delegation_view(row: AgentRow) -> DelegationView:
    """Render what an agent may do."""
    found = row.delegation
    return DelegationView(
        agent=found.agent,
        agent_pubkey=row.sig_hex,
        pool=found.pool,
        permissions=found.permissions,
        not_after=found.not_after_s,
        revoked=found.revoked,
        label=found.label,
        digest=found.digest,
    )


def agent_view(row: AgentRow) -> AgentView:
    """Render how an agent stands."""
    seen, has = row.presence, row.holdings
    return AgentView(
        agent=row.delegation.agent,
        pool=row.delegation.pool,
        label=row.delegation.label,
        status=row.status,
        version=seen.agent_version if seen else "",
        driver=seen.driver if seen else "",
        scope=seen.scope if seen else "",
        instances=seen.instances if seen else 0,
        alarms=seen.alarms if seen else (),
        last_seen_at=rfc3339(seen.last_seen_ms) if seen else None,
        running=has.running if has else 0,
        free=has.free if has and has.free >= 0 else None,
        driver_version=has.driver_version if has else "",
        host=has.host if has else "",
        asides=len(has.asides) if has else 0,
    )


def self_view(found: AgentSelfDetails, platform_id: str) -> AgentSelf:
    """Render an agent for itself."""
    return AgentSelf(
        provider=found.delegation.provider,
        agent=found.delegation.agent,
        pool=found.pool.id,
        driver=found.pool.driver,
        permissions=found.delegation.permissions,
        delegation=from_json(found.delegation.statement, StatementWire),
        platform_id=platform_id,
    )


ROUTES = (
    create_delegation,
    list_delegations,
    revoke_delegation,
    list_agents,
    heartbeat,
    list_asides,
    decide_aside,
    read_own_agent,
)

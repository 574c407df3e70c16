"""Taking an agent in: its link and its delegation, co-signed by a device of the provider."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.client.api import Client
from decent_cloud.client.rentals import Signer
from decent_cloud.client.statements import to_wire
from decent_cloud.domain.keys.chain import ChainState, extend
from decent_cloud.domain.keys.delegations import (
    Delegation,
    Revocation,
    sign_delegation,
    sign_revocation,
)
from decent_cloud.domain.keys.devices import Device, DeviceKeys
from decent_cloud.domain.keys.errors import ChainRule, KeyRefused
from decent_cloud.domain.keys.links import Add, parse_link
from decent_cloud.domain.keys.statements import Statement, StatementType, cosign, signers_of
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.ids import AccountId, Digest, Kid, PoolId
from decent_cloud.kernel.status import Permission
from decent_cloud.wire.v1.accounts import AppendLink
from decent_cloud.wire.v1.agents import CreateDelegation, DelegationView, RevokeDelegation

# What the journey of a rental needs, to the new password that its terms promise.
USUAL_PERMISSIONS = (
    Permission.FETCH_CONTRACTS,
    Permission.HEALTH_CHECK,
    Permission.HEARTBEAT,
    Permission.PROVISION,
    Permission.RESET_PASSWORD,
)


class NotAnAgent(KeyRefused):
    """What wants to join is no agent; a setup token never lets another device into the account."""

    code = "not_an_agent"


class LinkOutdated(ChainRule):
    """The chain has grown since this link was signed; the agent signs it anew."""

    code = "link_outdated"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new agent may do: in one pool, until `not_after_s` (0 = no end)."""

    pool: PoolId
    permissions: tuple[Permission, ...] = USUAL_PERMISSIONS
    not_after_s: int = 0
    label: str = ""


def joining_agent(link: Statement, chain: ChainState) -> Device:
    """Return the agent that a link would add; nothing but an agent is let in this way.

    Errors: NotAnAgent, LinkOutdated, any `KeyRefused`.
    """
    found = parse_link(link.payload)
    if not isinstance(found, Add) or not found.device.is_agent:
        raise NotAnAgent
    if chain.device(found.device.kid) is None and found.place != chain.next_place:
        raise LinkOutdated
    return found.device


def enrol(client: Client, signer: Signer, link: Statement, grant: Grant) -> DelegationView:
    """Co-sign an agent's link, append it, and delegate; run again after a crash it goes on.

    Errors: as `joining_agent`; ApiProblem, Unreachable.
    """
    agent = joining_agent(link, signer.chain)
    if signer.chain.device(agent.kid) is None:
        whole = cosigned(link, signer.keys)
        extend(signer.chain, whole)  # what we would refuse from others we do not send
        client.accounts.append(AppendLink(link=to_wire(whole)))
    return delegate(client, signer, agent.kid, grant)


def cosigned(link: Statement, keys: DeviceKeys) -> Statement:
    """Return the link with this device's signature, once."""
    if keys.kid in signers_of(link):
        return link
    return cosign(StatementType.LINK, link, keys)


def delegate(client: Client, signer: Signer, agent: Kid, grant: Grant) -> DelegationView:
    """Sign a delegation that follows the last statement about this agent, and post it."""
    provider = signer.chain.account_id
    last = _last(client, provider, agent)
    record = Delegation(
        account_id=provider,
        agent=agent,
        not_after_s=grant.not_after_s,
        permissions=tuple(sorted(one.value for one in grant.permissions)),
        pool_id=grant.pool,
        prev=Digest(last.digest) if last else None,
    )
    statement = to_wire(sign_delegation(record, signer.keys))
    return client.providers.delegate(
        provider, CreateDelegation(statement=statement, label=grant.label)
    )


def revoke(client: Client, signer: Signer, agent: str) -> DelegationView:
    """Sign the end of an agent's delegation and post it; a revoked one stays revoked.

    Errors: NotFound.
    """
    provider = signer.chain.account_id
    last = _last(client, provider, Kid(agent))
    if last is None:
        raise NotFound(f"no agent {agent}; see: decent agents list", field="agent")
    if last.revoked:
        return last
    record = Revocation(provider, Kid(last.agent), Digest(last.digest))
    statement = to_wire(sign_revocation(record, signer.keys))
    return client.providers.revoke(
        provider, last.agent_pubkey, RevokeDelegation(statement=statement)
    )


def _last(client: Client, provider: AccountId, agent: Kid) -> DelegationView | None:
    items = client.providers.delegations(provider).items
    return next((one for one in items if one.agent == agent), None)

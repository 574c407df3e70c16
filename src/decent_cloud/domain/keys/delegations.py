"""Delegations: what an agent may do for its provider, until when, and the end of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.authority import check_account, verify_authority
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import BadShape, WrongSequence
from decent_cloud.domain.keys.fields import Fields, ascending
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    digest_of,
    sign_statement,
)
from decent_cloud.kernel.ids import AccountId, Digest, Kid, PoolId

_MS_PER_S = 1000
_REVOCATION_KEYS = ("acct", "agent", "prev", "v")
_DELEGATION_KEYS = (*_REVOCATION_KEYS, "not_after", "perms", "pool")


@dataclass(frozen=True, slots=True)
class Delegation:
    """`prev` is the last delegation or revocation of this agent; `not_after_s` 0 means no end."""

    account_id: AccountId
    agent: Kid
    not_after_s: int
    permissions: tuple[str, ...]
    pool_id: PoolId
    prev: Digest | None

    def to_json(self) -> dict[str, Json]:
        return {
            **_common(self),
            "not_after": self.not_after_s,
            "perms": list(self.permissions),
            "pool": self.pool_id,
        }

    def live_at(self, now_ms: int) -> bool:
        """Whether its time has not run out: the last second counts in full."""
        return self.not_after_s == 0 or now_ms < (self.not_after_s + 1) * _MS_PER_S


@dataclass(frozen=True, slots=True)
class Revocation:
    account_id: AccountId
    agent: Kid
    prev: Digest | None

    def to_json(self) -> dict[str, Json]:
        return _common(self)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agent stands after its last delegation or revocation, whose hash is `last`."""

    account_id: AccountId
    agent: Kid
    last: Digest | None = None
    delegation: Delegation | None = None

    def live(self, provider_chain: ChainState, now_ms: int) -> Delegation | None:
        """Return the delegation in force: not revoked, not run out, and the agent in the chain."""
        device = provider_chain.device(self.agent)
        known = device is not None and device.is_agent
        found = self.delegation if known and self.account_id == provider_chain.account_id else None
        return found if found is not None and found.live_at(now_ms) else None


Entry: TypeAlias = tuple[StatementType, Statement]


def parse_delegation(value: Json) -> Delegation:
    """Read a delegation's payload.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _DELEGATION_KEYS)
    fields.version()
    permissions = fields.texts("perms")
    ascending(permissions, "perms")
    return Delegation(
        account_id=fields.account("acct"),
        agent=fields.kid("agent"),
        not_after_s=fields.integer("not_after"),
        permissions=permissions,
        pool_id=PoolId(fields.text("pool")),
        prev=fields.digest_or_none("prev"),
    )


def parse_revocation(value: Json) -> Revocation:
    """Read a revocation's payload.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _REVOCATION_KEYS)
    fields.version()
    return Revocation(fields.account("acct"), fields.kid("agent"), fields.digest_or_none("prev"))


def sign_delegation(delegation: Delegation, keys: DeviceKeys) -> Statement:
    """Sign as a device of the provider.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_delegation(delegation.to_json())
    return sign_statement(StatementType.DELEGATION, delegation.to_json(), [keys])


def sign_revocation(revocation: Revocation, keys: DeviceKeys) -> Statement:
    """Sign as a device of the provider.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_revocation(revocation.to_json())
    return sign_statement(StatementType.REVOCATION, revocation.to_json(), [keys])


def verify_delegation(
    statement: Statement, provider_chain: ChainState, *, first_seen: bool = True
) -> Delegation:
    """Verify a delegation by itself; whether it follows the last one is `advance`'s to say.

    Errors: any `KeyRefused`. `first_seen` as in `verify_authority`.
    """
    value, _ = verify_authority(
        StatementType.DELEGATION, statement, provider_chain, first_seen=first_seen
    )
    delegation = parse_delegation(value)
    check_account(delegation.account_id, provider_chain)
    return delegation


def verify_revocation(
    statement: Statement, provider_chain: ChainState, *, first_seen: bool = True
) -> Revocation:
    """Verify a revocation by itself.

    Errors: any `KeyRefused`. `first_seen` as in `verify_authority`.
    """
    value, _ = verify_authority(
        StatementType.REVOCATION, statement, provider_chain, first_seen=first_seen
    )
    revocation = parse_revocation(value)
    check_account(revocation.account_id, provider_chain)
    return revocation


def advance(
    standing: Standing, entry: Entry, provider_chain: ChainState, *, first_seen: bool = True
) -> Standing:
    """Verify the next delegation or revocation of this agent and return where it stands then.

    Errors: any `KeyRefused`; `WrongSequence` when it does not follow `standing.last`.
    """
    kind, statement = entry
    delegation: Delegation | None = None
    found: Delegation | Revocation
    if kind is StatementType.DELEGATION:
        found = delegation = verify_delegation(statement, provider_chain, first_seen=first_seen)
    elif kind is StatementType.REVOCATION:
        found = verify_revocation(statement, provider_chain, first_seen=first_seen)
    else:
        raise BadShape("neither a delegation nor a revocation")
    if found.agent != standing.agent or found.prev != standing.last:
        raise WrongSequence
    last = digest_of(kind, statement.payload)
    return Standing(found.account_id, found.agent, last, delegation)


def replay(agent: Kid, entries: Iterable[Entry], provider_chain: ChainState) -> Standing:
    """Verify an agent's whole history as another party served it.

    What came before the last entry, and a revocation, may be by a device revoked since; a
    delegation in force needs an active one.
    Errors: any `KeyRefused`.
    """
    history = list(entries)
    standing = Standing(provider_chain.account_id, agent)
    for index, entry in enumerate(history, start=1):
        strict = index == len(history) and entry[0] is StatementType.DELEGATION
        standing = advance(standing, entry, provider_chain, first_seen=strict)
    return standing


def _common(record: Delegation | Revocation) -> dict[str, Json]:
    return {
        "acct": b64u.from_hex(record.account_id),
        "agent": record.agent,
        "prev": "" if record.prev is None else b64u.from_hex(record.prev),
        "v": 1,
    }

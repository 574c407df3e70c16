"""Who may call which route: one table, enforced by one guard before any handler runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from decent_cloud.app.caller import Caller, CallerKind, DeviceOnly, ReadOnlyDevice
from decent_cloud.domain.keys.devices import Rank
from decent_cloud.http.call import call_of
from decent_cloud.http.refusals import IdempotencyKeyNeeded, SignatureRefused
from decent_cloud.kernel.errors import Forbidden, Internal
from decent_cloud.kernel.status import Permission

PREFIX = "/api/v1"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Who(StrEnum):
    """Who a route is for. What a caller may see of a record is the use case's business."""

    PUBLIC = "public"  # nobody needs to sign; a signature, if there is one, must be good
    SIGNED = "signed"  # any active device or agent
    DEVICE = "device"  # any active device that is no agent
    WRITER = "writer"  # a device of rank 0 or 1
    AGENT = "agent"  # an agent with a live delegation (and the named permission)
    ADMIN = "admin"  # a device of an account granted on the server's host


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a route; for agents also the permission that the use case asks the delegation for."""

    who: Who
    permission: Permission | None = None


def _key(route: str, prefix: str) -> tuple[str, str]:
    method, _, path = route.partition(" ")
    return method, prefix + path


_PUBLIC, _SIGNED, _DEVICE = Rule(Who.PUBLIC), Rule(Who.SIGNED), Rule(Who.DEVICE)
_WRITER, _AGENT, _ADMIN = Rule(Who.WRITER), Rule(Who.AGENT), Rule(Who.ADMIN)
_FETCH = Rule(Who.AGENT, Permission.FETCH_CONTRACTS)
_PROVISION = Rule(Who.AGENT, Permission.PROVISION)
_HEALTH = Rule(Who.AGENT, Permission.HEALTH_CHECK)
_RESET = Rule(Who.AGENT, Permission.RESET_PASSWORD)
_HEARTBEAT = Rule(Who.AGENT, Permission.HEARTBEAT)

_API: Mapping[str, Rule] = {
    "GET /platform": _PUBLIC,
    "GET /openapi.json": _PUBLIC,
    "GET /docs": _PUBLIC,
    "POST /accounts": _PUBLIC,
    "GET /accounts/me": _DEVICE,
    "GET /accounts/{account}": _DEVICE,
    "PUT /accounts/me/profile": _WRITER,
    "GET /accounts/me/chain": _SIGNED,
    "GET /accounts/{account}/chain": _SIGNED,
    "POST /accounts/me/chain": _WRITER,
    "GET /accounts/me/boxes": _DEVICE,
    "GET /accounts/me/balances": _DEVICE,
    "GET /admin/trial-balance": _ADMIN,
    "POST /providers": _WRITER,
    "GET /providers/{provider}": _PUBLIC,
    "POST /pools": _WRITER,
    "GET /pools": _SIGNED,
    "PUT /pair/{rid}/old": _WRITER,
    "GET /pair/{rid}": _PUBLIC,
    "PUT /pair/{rid}/new": _PUBLIC,
    "GET /pair/{rid}/chain": _PUBLIC,
    "POST /providers/{provider}/agent-delegations": _WRITER,
    "GET /providers/{provider}/agent-delegations": _DEVICE,
    "DELETE /providers/{provider}/agent-delegations/{agent_pubkey}": _WRITER,
    "GET /providers/{provider}/agent-status": _DEVICE,
    "POST /providers/{provider}/heartbeat": _HEARTBEAT,
    "GET /providers/{provider}/quarantine": _DEVICE,
    "POST /providers/{provider}/quarantine": _WRITER,
    "GET /agents/me": _AGENT,
    "GET /agents/me/desired": _FETCH,
    "GET /agents/me/events": _FETCH,
    "GET /agents/me/offerings": _FETCH,
    "POST /agents/me/plan-checks": _HEARTBEAT,
    "GET /providers/{provider}/contracts/pending-provision": _FETCH,
    "POST /assignments/{contract}/lease": _PROVISION,
    "POST /assignments/{contract}/renew": _PROVISION,
    "POST /assignments/{contract}/create-started": _PROVISION,
    "GET /assignments/{contract}/first-script": _PROVISION,
    "PUT /provider/rental-requests/{contract}/provisioning": _PROVISION,
    "POST /contracts/{contract}/health": _HEALTH,
    "POST /contracts/{contract}/reset-password": _WRITER,
    "POST /contracts/{contract}/ssh-keys": _WRITER,
    "GET /contracts/{contract}/resets": _SIGNED,
    "GET /providers/{provider}/contracts/pending-password-reset": _RESET,
    "GET /providers/{provider}/contracts/pending-ssh-keys": _RESET,
    "PUT /provider/rental-requests/{contract}/password": _RESET,
    "PUT /provider/rental-requests/{contract}/ssh-keys": _RESET,
    "POST /offerings": _WRITER,
    "PUT /offerings/{offering}": _WRITER,
    "POST /offerings/{offering}/publish": _WRITER,
    "POST /offerings/{offering}/withdraw": _WRITER,
    "GET /offerings": _PUBLIC,
    "GET /offerings/{offering}": _PUBLIC,
    "GET /providers/{provider}/offerings": _DEVICE,
    "GET /prices": _PUBLIC,
    "GET /prices/{asset}": _PUBLIC,
    "GET /prices/{asset}/history": _PUBLIC,
    "GET /prices/{asset}/chart": _PUBLIC,
    "POST /quotes": _WRITER,
    "GET /quotes/{quote}": _DEVICE,
    "GET /admin/prices/{asset}": _ADMIN,
    "PUT /admin/prices/{asset}": _ADMIN,
    "DELETE /admin/prices/{asset}": _ADMIN,
    "POST /admin/prices/{asset}/resume": _ADMIN,
    "POST /contracts": _WRITER,
    "GET /contracts": _DEVICE,
    "GET /contracts/{contract}": _DEVICE,
    "GET /contracts/{contract}/history": _DEVICE,
    "GET /contracts/{contract}/traffic": _DEVICE,
    "GET /contracts/{contract}/credential": _DEVICE,
    "GET /contracts/{contract}/log": _DEVICE,
    "GET /contracts/{contract}/events": _DEVICE,
    "POST /contracts/{contract}/accept": _WRITER,
    "POST /contracts/{contract}/reject": _WRITER,
    "POST /contracts/{contract}/terminate": _WRITER,
    "POST /contracts/{contract}/confirm": _WRITER,
    "POST /contracts/{contract}/cancel": _WRITER,
    "POST /contracts/{contract}/extend": _WRITER,
}
_BESIDE: Mapping[str, Rule] = {
    "GET /healthz": _PUBLIC,
    "GET /readyz": _PUBLIC,
    "GET /metrics": _PUBLIC,  # by address or token: http/metrics.py
}

RULES: Mapping[tuple[str, str], Rule] = {
    **{_key(route, PREFIX): rule for route, rule in _API.items()},
    **{_key(route, ""): rule for route, rule in _BESIDE.items()},
}


def rule_of(method: str, path: str) -> Rule:
    """Return the rule of a route by its template; a route without one is a mistake of ours, so closed."""
    try:
        return RULES[method, path]
    except KeyError:
        raise Internal(f"{method} {path} is not in the permission table") from None


def check(rule: Rule, caller: Caller) -> None:
    """Raise Unauthenticated or Forbidden, with words that say what would do."""
    if rule.who is Who.PUBLIC:
        return
    if caller.kind is CallerKind.PUBLIC:
        raise SignatureRefused("this route needs a signed request (RFC 9421); see /api/v1/docs")
    is_agent = caller.kind is CallerKind.AGENT
    if rule.who is Who.AGENT and not is_agent:
        raise Forbidden("only an agent may do this, with its own key")
    if is_agent and rule.who not in {Who.AGENT, Who.SIGNED}:
        raise DeviceOnly
    if rule.who is Who.WRITER and caller.rank >= Rank.READER:
        raise ReadOnlyDevice
    if rule.who is Who.ADMIN and not caller.admin:
        raise Forbidden("only an admin may do this (`decent admin grant` on the server's host)")


async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Let a request through to its handler, or not. Litestar runs this for every route."""
    scope = connection.scope
    method = str(scope.get("method", "GET"))
    if method == "OPTIONS":  # answered by the framework: which methods there are
        return
    call = call_of(scope)
    check(rule_of(method, scope["path_template"]), call.caller)
    if method in WRITES and not call.idempotency_key:
        raise IdempotencyKeyNeeded

"""Resets of passwords and SSH keys: asked for by tenants, claimed, made and proven by agents."""

from __future__ import annotations

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from decent_cloud.app import reset_reports, resets
from decent_cloud.app.resets import ResetRow
from decent_cloud.http.call import Call
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.ids import AccountId, ContractId
from decent_cloud.kernel.status import ResetFailure, ResetSubject
from decent_cloud.wire.v1.resets import (
    KeysReport,
    PasswordReport,
    ReplaceKeys,
    ResetsView,
    ResetView,
)


@post("/contracts/{contract:str}/reset-password", status_code=201, summary="Ask for a new password")
async def reset_password(
    call: NamedDependency[Call], contract: FromPath[str]
) -> Response[ResetView]:
    """Ask the machine's agent for a new password, as the tenant: one open, three an hour."""
    id_ = ContractId(contract)
    return await call.write(
        lambda uow: reset_view(resets.request_reset(uow, call.caller, id_, call.now_ms)),
        status=201,
    )


@post("/contracts/{contract:str}/ssh-keys", status_code=201, summary="Replace the SSH keys")
async def replace_keys(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[ReplaceKeys]
) -> Response[ResetView]:
    """Have the machine's agent put in the signed list of SSH keys, as the tenant: one open, three an hour."""
    id_ = ContractId(contract)
    return await call.write(
        lambda uow: reset_view(resets.replace_keys(uow, call.caller, id_, data, call.now_ms)),
        status=201,
    )


@get("/contracts/{contract:str}/resets", summary="A contract's resets")
async def list_resets(call: NamedDependency[Call], contract: FromPath[str]) -> ResetsView:
    """Return all resets of a contract, oldest first, to both its sides and its pool's agents."""
    found = await call.read(
        lambda uow: resets.list_resets(uow, call.caller, ContractId(contract), call.now_ms)
    )
    return ResetsView(items=tuple(map(reset_view, found)))


@get(
    "/providers/{provider:str}/contracts/pending-password-reset",
    summary="Password resets to be done",
)
async def list_pending_resets(call: NamedDependency[Call], provider: FromPath[str]) -> ResetsView:
    """List the open password resets of the calling agent's pool."""
    return await _pending(call, provider, ResetSubject.PASSWORD)


@get("/providers/{provider:str}/contracts/pending-ssh-keys", summary="SSH keys to be put in")
async def list_pending_keys(call: NamedDependency[Call], provider: FromPath[str]) -> ResetsView:
    """List the open resets of SSH keys in the calling agent's pool."""
    return await _pending(call, provider, ResetSubject.SSH_KEYS)


async def _pending(call: Call, provider: str, subject: ResetSubject) -> ResetsView:
    id_ = AccountId(provider)
    found = await call.read(
        lambda uow: resets.pending_resets(uow, call.caller, id_, subject, call.now_ms)
    )
    return ResetsView(items=tuple(map(reset_view, found)))


@put("/provider/rental-requests/{contract:str}/password", summary="Report on a password reset")
async def report_password(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[PasswordReport]
) -> Response[ResetView]:
    """Claim a reset or begin one of the provider's own; send the sealed credential; say that it works or cannot."""
    return await call.write(
        lambda uow: reset_view(
            reset_reports.report_password(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


@put("/provider/rental-requests/{contract:str}/ssh-keys", summary="Report on new SSH keys")
async def report_keys(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[KeysReport]
) -> Response[ResetView]:
    """Claim a reset of SSH keys; say that they are in, that a second look found just them, or why not."""
    return await call.write(
        lambda uow: reset_view(
            reset_reports.report_keys(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


def reset_view(row: ResetRow) -> ResetView:
    """Render a reset."""
    found = row.reset
    return ResetView(
        id=found.id,
        contract=found.contract,
        origin=found.origin,
        state=found.state,
        requested_at=rfc3339(found.requested_at_ms),
        state_since=rfc3339(found.state_since_ms),
        deadline=rfc3339(found.deadline_ms) if found.deadline_ms else None,
        agent=found.agent,
        n=found.n,
        failure=ResetFailure(found.failure) if found.failure else None,
        detail=found.detail,
        next_n=row.next_n,
        subject=found.subject,
    )


ROUTES = (
    reset_password,
    replace_keys,
    list_resets,
    list_pending_resets,
    list_pending_keys,
    report_password,
    report_keys,
)

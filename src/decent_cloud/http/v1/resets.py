"""Password resets: asked for by tenants, claimed, made and proven by agents."""

from __future__ import annotations

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from decent_cloud.app import resets
from decent_cloud.app.resets import ResetRow
from decent_cloud.http.call import Call
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.ids import AccountId, ContractId
from decent_cloud.kernel.status import ResetFailure
from decent_cloud.wire.v1.resets import PasswordReport, ResetsView, ResetView


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


@get("/contracts/{contract:str}/resets", summary="A contract's password resets")
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
    """List the open resets of the calling agent's pool."""
    found = await call.read(
        lambda uow: resets.pending_resets(uow, call.caller, AccountId(provider), call.now_ms)
    )
    return ResetsView(items=tuple(map(reset_view, found)))


@put("/provider/rental-requests/{contract:str}/password", summary="Report on a password reset")
async def report_password(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[PasswordReport]
) -> Response[ResetView]:
    """Claim a reset or begin one of the provider's own; send the sealed credential; say that it works or cannot."""
    return await call.write(
        lambda uow: reset_view(
            resets.report_password(uow, call.caller, ContractId(contract), data, call.now_ms)
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
    )


ROUTES = (reset_password, list_resets, list_pending_resets, report_password)

"""Event streams: hints for agents, and the steps of a contract for both its sides."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ASGIApp

from decent_cloud.app.accounts import find_signer
from decent_cloud.app.agents import authorize
from decent_cloud.app.contracts import read_contract
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.identity.providers import Delegation
from decent_cloud.http.call import Call
from decent_cloud.http.sse import Feed, frame, stream
from decent_cloud.http.v1.contract_views import contract_event, present_state
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.ids import ContractId, PoolId
from decent_cloud.kernel.status import Permission
from decent_cloud.wire.v1.agents import AgentEvent


@get("/agents/me/events", include_in_schema=False)
async def agent_events(call: NamedDependency[Call]) -> ASGIApp:
    """Tell the calling agent when its pool's desired state may have changed."""
    pool = (await call.read(lambda uow: _delegation(uow, call))).pool
    return stream(
        call,
        Feed(
            stream=f"pool/{pool}",
            hello=lambda _uow, newest: frame("hello", _hint(pool, "", "hello"), newest),
            render=lambda event: frame("hint", _hint(pool, event.subject, event.kind), event.seq),
            recheck=lambda uow: _delegation(uow, call, pool),
        ),
    )


@get("/contracts/{contract:str}/events", include_in_schema=False)
async def contract_events(call: NamedDependency[Call], contract: FromPath[str]) -> ASGIApp:
    """Show the steps of a contract as they happen, its present state first."""
    id_ = ContractId(contract)
    await call.read(lambda uow: read_contract(uow, call.caller, id_))
    return stream(
        call,
        Feed(
            stream=f"contract/{id_}",
            hello=lambda uow, newest: frame("contract", _state(uow, call, id_), newest),
            render=_step,
            recheck=lambda uow: _look(uow, call, id_),
        ),
    )


def _delegation(uow: UnitOfWork, call: Call, pool: PoolId | None = None) -> Delegation:
    # The stream outlives the moment it was opened: ask for now, not for then.
    now_ms = call.edge.clock.now_ms()
    return authorize(uow, call.caller, Permission.FETCH_CONTRACTS, now_ms, pool)


def _hint(pool: str, contract: str, kind: str) -> bytes:
    return to_json(AgentEvent(pool=pool, contract=contract, kind=kind))


def _step(event: Event) -> bytes:
    return frame("contract", to_json(contract_event(event)), event.seq)


def _state(uow: UnitOfWork, call: Call, id_: ContractId) -> bytes:
    return to_json(present_state(read_contract(uow, call.caller, id_)))


def _look(uow: UnitOfWork, call: Call, id_: ContractId) -> Contract:
    find_signer(uow, call.caller.account, call.caller.kid)
    return read_contract(uow, call.caller, id_)


ROUTES = (agent_events, contract_events)

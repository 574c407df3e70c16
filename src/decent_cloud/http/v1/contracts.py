"""Contracts: orders, what both sides do with a contract, its history and its sealed credential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from decent_cloud.app import contracts, orders
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.views import contract_details
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.http.call import Call
from decent_cloud.http.v1.contract_views import (
    contract_view,
    credential_view,
    history_entry,
    traffic_view,
)
from decent_cloud.http.v1.pages import Cursor, Limit, page_request
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.ids import ContractId, Kid
from decent_cloud.kernel.paging import DEFAULT_LIMIT, Page
from decent_cloud.kernel.status import ContractState
from decent_cloud.wire.v1.contracts import (
    ContractsPage,
    ContractView,
    CredentialView,
    EndContract,
    ExtendContract,
    HistoryView,
    PlaceOrder,
    TrafficView,
)

Role = Literal["tenant", "provider"]
States = Annotated[
    str,
    QueryParameter(
        name="state",
        max_length=200,
        description="States, separated by commas; empty for all.",
    ),
]


@post("/contracts", summary="Place an order")
async def place_order(
    call: NamedDependency[Call], data: JSONBody[PlaceOrder]
) -> Response[ContractView]:
    """Turn a device-signed order into a contract: one unit reserved, its payment begun."""
    contract_id = ContractId(call.new_id("c"))
    return await _moved(
        call,
        lambda uow: orders.place_order(
            uow, call.caller, data, call.now_ms, contract_id, call.edge.fee_ppm
        ),
        status=201,
    )


@get("/contracts", summary="The caller's contracts")
async def list_contracts(
    call: NamedDependency[Call],
    role: FromQuery[Role] = "tenant",
    asked: States = "",
    cursor: Cursor = "",
    limit: Limit = DEFAULT_LIMIT,
) -> ContractsPage:
    """List contracts in which the caller is tenant or provider, newest first."""
    states, page = _states(asked), page_request(cursor, limit)

    def read(uow: UnitOfWork) -> ContractsPage:
        found: Page[Contract]
        if role == "provider":
            found = contracts.list_provided(uow, call.caller, states, page)
        else:
            found = contracts.list_rented(uow, call.caller, page)
        items = tuple(
            contract_view(contract_details(uow, one, call.now_ms))
            for one in found.items
            if not states or one.state in states
        )
        return ContractsPage(items=items, next=found.next)

    return await call.read(read)


@get("/contracts/{contract:str}", summary="A contract")
async def read_contract(call: NamedDependency[Call], contract: FromPath[str]) -> ContractView:
    """Return a contract to its tenant or its provider."""
    return await call.read(
        lambda uow: _view(
            call, uow, contracts.read_contract(uow, call.caller, ContractId(contract))
        )
    )


@get("/contracts/{contract:str}/history", summary="A contract's life")
async def read_history(call: NamedDependency[Call], contract: FromPath[str]) -> HistoryView:
    """Return every step, oldest first: who, what, why."""
    rows = await call.read(lambda uow: contracts.history(uow, call.caller, ContractId(contract)))
    return HistoryView(items=tuple(history_entry(row) for row in rows))


@get("/contracts/{contract:str}/traffic", summary="A machine's traffic")
async def read_traffic(call: NamedDependency[Call], contract: FromPath[str]) -> TrafficView:
    """Return what the machine received and sent, where its provider's backend can count it."""
    found = await call.read(lambda uow: contracts.traffic(uow, call.caller, ContractId(contract)))
    return traffic_view(ContractId(contract), found)


@get("/contracts/{contract:str}/credential", summary="The sealed credential")
async def read_credential(call: NamedDependency[Call], contract: FromPath[str]) -> CredentialView:
    """Return the newest sealed credential to the tenant; check its signer against the provider's chain."""

    def read(uow: UnitOfWork) -> CredentialView:
        owned, sealed = contracts.read_credential(uow, call.caller, ContractId(contract))
        delegation = uow.providers.delegation(owned.provider, Kid(sealed.agent))
        if delegation is None:
            raise NotFound("the agent that made this credential has no delegation")
        return credential_view(owned, sealed, delegation)

    return await call.read(read)


@post("/contracts/{contract:str}/accept", status_code=200, summary="Accept an order")
async def accept(call: NamedDependency[Call], contract: FromPath[str]) -> Response[ContractView]:
    """Say yes, as the provider."""
    id_ = ContractId(contract)
    return await _moved(call, lambda uow: contracts.accept(uow, call.caller, id_, call.now_ms))


@post("/contracts/{contract:str}/reject", status_code=200, summary="Reject an order")
async def reject(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[EndContract]
) -> Response[ContractView]:
    """Say no, as the provider; the tenant gets everything back."""
    id_ = ContractId(contract)
    return await _moved(
        call, lambda uow: contracts.reject(uow, call.caller, id_, data, call.now_ms)
    )


@post("/contracts/{contract:str}/terminate", status_code=200, summary="Terminate a contract")
async def terminate(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[EndContract]
) -> Response[ContractView]:
    """End early, as the provider; the unserved part goes back with the stated penalty."""
    id_ = ContractId(contract)
    return await _moved(
        call, lambda uow: contracts.terminate(uow, call.caller, id_, data, call.now_ms)
    )


@post("/contracts/{contract:str}/confirm", status_code=200, summary="Confirm a machine")
async def confirm(call: NamedDependency[Call], contract: FromPath[str]) -> Response[ContractView]:
    """Say that the machine answers, as the tenant; the paid time begins."""
    id_ = ContractId(contract)
    return await _moved(call, lambda uow: contracts.confirm(uow, call.caller, id_, call.now_ms))


@post("/contracts/{contract:str}/cancel", status_code=200, summary="Cancel a contract")
async def cancel(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[EndContract]
) -> Response[ContractView]:
    """End a contract, as the tenant; what was not served is given back."""
    id_ = ContractId(contract)
    return await _moved(
        call, lambda uow: contracts.cancel(uow, call.caller, id_, data, call.now_ms)
    )


@post("/contracts/{contract:str}/extend", status_code=200, summary="Extend a contract")
async def extend(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[ExtendContract]
) -> Response[ContractView]:
    """Add a paid term with a signed order that extends this contract."""
    id_ = ContractId(contract)
    return await _moved(
        call,
        lambda uow: orders.extend_contract(
            uow, call.caller, id_, data, call.now_ms, call.edge.fee_ppm
        ),
    )


async def _moved(
    call: Call, step: Callable[[UnitOfWork], Contract], *, status: int = 200
) -> Response[ContractView]:
    return await call.write(lambda uow: _view(call, uow, step(uow)), status=status)


def _view(call: Call, uow: UnitOfWork, contract: Contract) -> ContractView:
    return contract_view(contract_details(uow, contract, call.now_ms))


def _states(text: str) -> tuple[ContractState, ...]:
    try:
        return tuple(ContractState(word.strip()) for word in text.split(",") if word.strip())
    except ValueError:
        known = ", ".join(ContractState)
        raise Invalid(f"state: some of {known}, separated by commas", field="state") from None


ROUTES = (
    place_order,
    list_contracts,
    read_contract,
    read_history,
    read_traffic,
    read_credential,
    accept,
    reject,
    terminate,
    confirm,
    cancel,
    extend,
)

"""First scripts: their text for agents, their sealed logs for tenants."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from decent_cloud.app import first_scripts
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.keys.first_scripts import FirstScript
from decent_cloud.http.call import Call
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.ids import ContractId, Kid
from decent_cloud.wire.v1.first_scripts import FirstScriptText, FirstScriptView, LogView, LogWire
from decent_cloud.wire.v1.statements import StatementWire


@get("/assignments/{contract:str}/first-script", summary="What runs in a new machine")
async def read_first_script(
    call: NamedDependency[Call], contract: FromPath[str]
) -> FirstScriptText:
    """Return the first script's text to an agent of the pool; check it by the offer that the order names."""
    ordered, text = await call.read(
        lambda uow: first_scripts.script_for_agent(
            uow, call.caller, ContractId(contract), call.now_ms
        )
    )
    offer = from_json(ordered.offer, StatementWire)
    return FirstScriptText(text=text, terms=ordered.terms, offer=offer)


@get("/contracts/{contract:str}/log", summary="The sealed log of the first script")
async def read_log(call: NamedDependency[Call], contract: FromPath[str]) -> LogView:
    """Return the sealed log to the tenant; check its signer against the provider's chain."""

    def read(uow: UnitOfWork) -> LogView:
        owned, sealed = first_scripts.read_log(uow, call.caller, ContractId(contract))
        delegation = uow.providers.delegation(owned.provider, Kid(sealed.agent))
        if delegation is None:
            raise NotFound("the agent that made this log has no delegation")
        return LogView(
            contract=owned.id,
            provider=owned.provider,
            log=from_json(sealed.outer, LogWire),
            delegation=from_json(delegation.statement, StatementWire),
        )

    return await call.read(read)


def first_script_view(found: FirstScript | None) -> FirstScriptView | None:
    """Render what terms say of a script, if they name one."""
    if found is None:
        return None
    return FirstScriptView(
        kind=found.kind,
        sha256=found.sha256,
        timeout_s=found.timeout_s,
        on_failure=found.on_failure,
    )


ROUTES = (read_first_script, read_log)

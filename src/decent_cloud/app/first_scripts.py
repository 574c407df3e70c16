"""First scripts: their text for the agent that has one run, their sealed logs for the tenant."""

from __future__ import annotations

from decent_cloud.app.accounts import load_chain
from decent_cloud.app.assignments import assigned
from decent_cloud.app.caller import Caller
from decent_cloud.app.contracts import NotYourSide, get_contract, read_contract
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract, SealedLog
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.credentials import sealed_from_json
from decent_cloud.domain.keys.first_scripts import OrderedScript
from decent_cloud.kernel.codec import plain
from decent_cloud.kernel.errors import Internal, Invalid, NotFound
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Permission
from decent_cloud.wire.v1.first_scripts import LogWire


def script_for_agent(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, now_ms: int
) -> tuple[OrderedScript, str]:
    """Return what runs in a contract's new machine, and its text, to the agents of its pool.

    Errors: AgentNotAllowed, NotFound.
    """
    assigned(uow, caller, contract_id, Permission.PROVISION, now_ms)
    ordered = get_contract(uow, contract_id).plan.first_script
    if ordered is None:
        raise NotFound("this contract's offering has no first script")
    text = uow.first_scripts.text(ordered.script.sha256)
    if text is None:
        raise Internal("a first script's text is missing", sha256=ordered.script.sha256)
    return ordered, text


def store_log(
    uow: UnitOfWork, contract: Contract, caller: Caller, wire: LogWire, now_ms: int
) -> None:
    """Keep a sealed log after a look at its outside; nobody here can open it. The first of a number stays.

    Errors: Invalid.
    """
    sealed = sealed_from_json(plain(wire))
    newest_gen = load_chain(uow, contract.tenant).generation.number
    if sealed.generation > newest_gen:
        raise Invalid(
            f"the tenant's newest generation is {newest_gen}; seal to that one", field="log.gen"
        )
    before = uow.first_scripts.log(contract.id)
    if before is not None and before.n >= sealed.number:
        return
    uow.first_scripts.add_log(
        SealedLog(
            contract=contract.id,
            n=sealed.number,
            gen=sealed.generation,
            outer=canonical.write(sealed.to_json()).decode(),
            agent=caller.kid,
            created_at_ms=now_ms,
        )
    )


def read_log(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId
) -> tuple[Contract, SealedLog]:
    """Return the sealed log of a contract's first script to a device of the tenant.

    Errors: NotFound, NotYourSide.
    """
    contract = read_contract(uow, caller, contract_id)
    if caller.account != contract.tenant:
        raise NotYourSide
    found = uow.first_scripts.log(contract.id)
    if found is None:
        why = (
            "it comes with the machine" if contract.plan.first_script else "its offering runs none"
        )
        raise NotFound(f"there is no log of a first script of this contract; {why}")
    return contract, found

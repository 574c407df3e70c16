"""Resets of a machine's password or SSH keys: who may ask, what is shown of them, when they end undone.

The platform never sees a password: it keeps what the agent sealed, and says how far the work is. It cannot
name a key either: the agent takes a list that the tenant signed.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from decent_cloud.app import reset_steps
from decent_cloud.app.accounts import load_chain
from decent_cloud.app.agents import authorize
from decent_cloud.app.assignments import assigned
from decent_cloud.app.caller import Caller, CallerKind, require_writer
from decent_cloud.app.contracts import NotYourSide, read_contract
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.reset import (
    REQUESTED_MS,
    WORKED_ON_MS,
    KeyListStale,
    Reset,
    ResetEvent,
    ResetNotPromised,
    check_limits,
    newest_list,
)
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.keys.key_lists import verify_key_list
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.errors import Conflict, NotFound
from decent_cloud.kernel.ids import AccountId, ContractId, Kid, ResetId
from decent_cloud.kernel.status import (
    ContractState,
    Permission,
    ResetOrigin,
    ResetState,
    ResetSubject,
)
from decent_cloud.wire.v1.resets import (
    ReplaceKeys,
)

_log = structlog.get_logger("resets")

PLATFORM = "platform"
RUNNING = frozenset({ContractState.PROVISIONED, ContractState.ACTIVE})
_COMING = frozenset({ContractState.ACCEPTED, ContractState.PROVISIONING})


class NoMachine(Conflict):
    """This contract has no running machine whose password or SSH keys could be reset."""

    code = "no_machine"


@dataclass(frozen=True, slots=True)
class ResetRow:
    """A reset, and the number that the contract's next credential gets."""

    reset: Reset
    next_n: int


def request_reset(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, now_ms: int
) -> ResetRow:
    """Ask for a new password, as the contract's tenant; the machine's agent makes it.

    Errors: NotFound, NotYourSide, ResetNotPromised, NoMachine, ResetOpen, TooManyResets.
    """
    require_writer(caller)
    contract = _rented(uow, caller, contract_id)
    if not contract.plan.reset:
        raise ResetNotPromised
    require_machine(contract, RUNNING)
    reset = new_reset(uow, contract, Asked(ResetOrigin.TENANT, caller.actor), now_ms)
    return row_of(uow, reset_steps.begin(uow, reset, actor=caller.actor, now_ms=now_ms))


def replace_keys(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: ReplaceKeys, now_ms: int
) -> ResetRow:
    """Take in the tenant's signed list of all SSH keys for a machine; its agent puts them in.

    A machine that is still to be made gets them from the start. The newest list again changes nothing.
    Errors: NotFound, NotYourSide, ResetNotPromised, NoMachine, ResetOpen, TooManyResets, KeyListStale,
    any `KeyRefused`.
    """
    chain = load_chain(uow, require_writer(caller))
    contract = _rented(uow, caller, contract_id)
    if not contract.plan.reset and not contract.plan.management_key:
        raise ResetNotPromised(
            "the signed terms of this contract promise no resets and allow no management key:"
            " nobody but you can change its SSH keys"
        )
    require_machine(contract, RUNNING | _COMING)
    statement = from_wire(command.statement)
    wish = verify_key_list(statement, chain, contract.digest)
    text = statement_text(statement)
    newest = newest_list(uow.resets.of_contract(contract.id))
    if newest is not None and newest.statement == text:
        return row_of(uow, newest)
    if newest is not None and newest.n >= wish.number:
        raise KeyListStale(n=newest.n)
    asked = Asked(ResetOrigin.TENANT, caller.actor, n=wish.number, statement=text)
    reset = new_reset(uow, contract, asked, now_ms)
    return row_of(uow, reset_steps.begin(uow, reset, actor=caller.actor, now_ms=now_ms))


def list_resets(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, now_ms: int
) -> tuple[ResetRow, ...]:
    """Show a contract's resets, oldest first, to both sides and to the agents of its pool.

    Errors: NotFound; AgentNotAllowed.
    """
    if caller.kind is CallerKind.AGENT:
        assigned(uow, caller, contract_id, Permission.RESET_PASSWORD, now_ms)
    else:
        read_contract(uow, caller, contract_id)
    return _rows(uow, uow.resets.of_contract(contract_id))


def pending_resets(
    uow: UnitOfWork, caller: Caller, provider: AccountId, subject: ResetSubject, now_ms: int
) -> tuple[ResetRow, ...]:
    """List the open resets of this kind in the calling agent's pool, oldest first.

    Errors: AgentNotAllowed, NotFound for another provider.
    """
    if provider != caller.account:
        raise NotFound("there is no such provider, or it is not yours")
    delegation = authorize(uow, caller, Permission.RESET_PASSWORD, now_ms)
    opened = uow.resets.open_of_pool(delegation.pool).values()
    return _rows(uow, tuple(reset for reset in opened if reset.subject is subject))


def apply_deadlines(uow: UnitOfWork, now_ms: int, limit: int) -> int:
    """End what nobody took up or finished in time; return how many ended."""
    due = uow.resets.due(now_ms, limit)
    for reset in due:
        after = reset_steps.advance(
            uow, reset, ResetEvent.DEADLINE_PASSED, actor=PLATFORM, now_ms=now_ms
        )
        if after.state is ResetState.FAILED:
            # An agent began and did not end: somebody must look.
            _log.error(
                "reset not finished", reset=reset.id, agent=reset.agent, of=reset.subject.value
            )
    return len(due)


def row_of(uow: UnitOfWork, reset: Reset) -> ResetRow:
    """Return a reset as it is shown."""
    return _rows(uow, (reset,))[0]


def _rows(uow: UnitOfWork, resets: tuple[Reset, ...]) -> tuple[ResetRow, ...]:
    contracts = tuple(dict.fromkeys(reset.contract for reset in resets))
    numbers = uow.contracts.credential_numbers(contracts)
    return tuple(ResetRow(reset, numbers.get(reset.contract, 0) + 1) for reset in resets)


def _rented(uow: UnitOfWork, caller: Caller, contract_id: ContractId) -> Contract:
    contract = read_contract(uow, caller, contract_id)
    if caller.account != contract.tenant:
        raise NotYourSide
    return contract


def require_machine(contract: Contract, states: frozenset[ContractState]) -> None:
    """Refuse where the contract is in none of these states; NoMachine."""
    if contract.state not in states:
        raise NoMachine(f"the contract is {contract.state.value}: it has no running machine")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a reset, and of what: with a list, of SSH keys. A provider's agent begins at once."""

    origin: ResetOrigin
    actor: str
    agent: Kid | None = None
    n: int = 0
    statement: str = ""


def new_reset(uow: UnitOfWork, contract: Contract, asked: Asked, now_ms: int) -> Reset:
    """Return the next reset of a contract; a provider's is claimed already.

    Errors: ResetOpen, TooManyResets.
    """
    subject = ResetSubject.SSH_KEYS if asked.statement else ResetSubject.PASSWORD
    before = uow.resets.of_contract(contract.id)
    check_limits(before, subject, asked.origin, now_ms)
    claimed = asked.origin is ResetOrigin.PROVIDER
    return Reset(
        id=ResetId(f"{contract.id}.reset{len(before) + 1}"),
        contract=contract.id,
        provider=contract.provider,
        pool=contract.pool,
        origin=asked.origin,
        state=ResetState.CLAIMED if claimed else ResetState.REQUESTED,
        requested_at_ms=now_ms,
        state_since_ms=now_ms,
        deadline_ms=_machine_ms(contract, now_ms) + (WORKED_ON_MS if claimed else REQUESTED_MS),
        asked_by=asked.actor,
        agent=asked.agent or "",
        n=asked.n,
        subject=subject,
        statement=asked.statement,
    )


def _machine_ms(contract: Contract, now_ms: int) -> int:
    """Return by when there is a machine, or the contract has failed."""
    if contract.state not in _COMING:
        return now_ms
    return max(now_ms, contract.deadline_ms) + contract.provision_timeout_s * SECOND_MS

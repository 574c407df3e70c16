"""Password resets: a tenant or a provider asks, an agent of the machine's backend makes and proves a new one.

The platform never sees a password: it keeps what the agent sealed, and says how far the work is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from decent_cloud.app import reset_steps
from decent_cloud.app.agents import AgentNotAllowed, authorize
from decent_cloud.app.assignments import assigned
from decent_cloud.app.caller import Caller, CallerKind, require_writer
from decent_cloud.app.contracts import NotYourSide, get_contract, read_contract
from decent_cloud.app.credentials import CredentialConflict, store_credential
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts import instance, lifecycle
from decent_cloud.domain.contracts.assignment import Assignment, WrongScope
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.password_reset import (
    OPEN,
    REQUESTED_MS,
    WORKED_ON_MS,
    PasswordReset,
    ResetEvent,
    ResetNotPromised,
    ResetTaken,
    check_limits,
)
from decent_cloud.kernel.errors import Conflict, NotFound
from decent_cloud.kernel.ids import AccountId, ContractId, Kid, ResetId
from decent_cloud.kernel.status import (
    AssignmentState,
    ContractState,
    Permission,
    ResetOrigin,
    ResetState,
)
from decent_cloud.wire.v1.resets import (
    PasswordApplied,
    PasswordClaimed,
    PasswordFailed,
    PasswordReport,
    PasswordVerified,
)

_log = structlog.get_logger("resets")

PLATFORM = "platform"
_RUNNING = frozenset({ContractState.PROVISIONED, ContractState.ACTIVE})


class NoMachine(Conflict):
    """This contract has no running machine whose password could be reset."""

    code = "no_machine"


@dataclass(frozen=True, slots=True)
class ResetRow:
    """A reset, and the number that the contract's next credential gets."""

    reset: PasswordReset
    next_n: int


def request_reset(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, now_ms: int
) -> ResetRow:
    """Ask for a new password, as the contract's tenant; the machine's agent makes it.

    Errors: NotFound, NotYourSide, ResetNotPromised, NoMachine, ResetOpen, TooManyResets.
    """
    require_writer(caller)
    contract = read_contract(uow, caller, contract_id)
    if caller.account != contract.tenant:
        raise NotYourSide
    if not contract.plan.reset:
        raise ResetNotPromised
    reset = _new(uow, contract, ResetOrigin.TENANT, caller.actor, now_ms)
    return _row(uow, reset_steps.begin(uow, reset, actor=caller.actor, now_ms=now_ms))


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
    uow: UnitOfWork, caller: Caller, provider: AccountId, now_ms: int
) -> tuple[ResetRow, ...]:
    """List the open resets of the calling agent's pool, oldest first.

    Errors: AgentNotAllowed, NotFound for another provider.
    """
    if provider != caller.account:
        raise NotFound("there is no such provider, or it is not yours")
    delegation = authorize(uow, caller, Permission.RESET_PASSWORD, now_ms)
    return _rows(uow, tuple(uow.resets.open_of_pool(delegation.pool).values()))


def report_password(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: PasswordReport, now_ms: int
) -> ResetRow:
    """Take in what an agent says about a reset. The same again changes nothing, and what comes too late
    is not refused: the answer says how the reset stands.

    Errors: AgentNotAllowed, NotFound, WrongScope, NoMachine, ResetTaken, ResetOpen, TooManyResets,
    Invalid, CredentialConflict.
    """
    found = assigned(uow, caller, contract_id, Permission.RESET_PASSWORD, now_ms)
    contract = get_contract(uow, contract_id)
    if not instance.trusted(found, command.scope):
        raise WrongScope("another backend made this contract's machine")
    return _row(uow, _taken_in(uow, caller, contract, found, command, now_ms))


def _taken_in(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    found: Assignment,
    command: PasswordReport,
    now_ms: int,
) -> PasswordReset:
    if isinstance(command, PasswordClaimed):
        return _claimed(uow, caller, contract, found, command, now_ms)
    reset = _mine(uow, caller, contract.id, command.reset)
    match command:
        case PasswordApplied():
            return _applied(uow, caller, contract, reset, command, now_ms)
        case PasswordVerified():
            return _verified(uow, caller, reset, command, now_ms)
        case PasswordFailed():
            return _failed(uow, caller, reset, command, now_ms)


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
                "password reset not finished", reset=reset.id, agent=reset.agent, was=reset.state
            )
    return len(due)


def _claimed(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    found: Assignment,
    command: PasswordClaimed,
    now_ms: int,
) -> PasswordReset:
    reset = _claimable(uow, contract.id, command.reset)
    if reset is None:
        if found.state is not AssignmentState.BOUND:
            raise NoMachine
        new = _new(uow, contract, ResetOrigin.PROVIDER, caller.actor, now_ms, caller.kid)
        return reset_steps.begin(uow, new, actor=caller.actor, now_ms=now_ms)
    if reset.state is ResetState.REQUESTED:
        return reset_steps.advance(
            uow,
            reset,
            ResetEvent.CLAIMED,
            actor=caller.actor,
            now_ms=now_ms,
            agent=caller.kid,
        )
    if reset.state in OPEN and reset.agent != caller.kid:
        # Another agent of the same backend goes on with it: an agent may have got a new key.
        return reset_steps.save(uow, replace(reset, agent=caller.kid))
    return reset


def _claimable(uow: UnitOfWork, contract: ContractId, named: str) -> PasswordReset | None:
    """Return the reset that is named; without a name, the open one if there is any."""
    if named:
        return _get(uow, contract, named)
    return next((one for one in uow.resets.of_contract(contract) if one.state in OPEN), None)


def _applied(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    reset: PasswordReset,
    command: PasswordApplied,
    now_ms: int,
) -> PasswordReset:
    """Keep the sealed credential, whatever became of the reset: it is what works now."""
    if contract.state in lifecycle.TERMINAL:
        return reset
    n = command.credential.n
    newest = uow.contracts.credential(contract.id)
    if newest is not None and newest.n > n > reset.n:
        raise CredentialConflict(n=newest.n)
    store_credential(uow, contract, caller, command.credential, now_ms)
    if n <= reset.n:
        return reset
    reset = reset_steps.save(uow, replace(reset, n=n))
    if reset.state is ResetState.CLAIMED:
        return reset_steps.advance(
            uow, reset, ResetEvent.APPLIED, actor=caller.actor, now_ms=now_ms
        )
    event = reset_steps.event_name(ResetState.APPLIED)
    reset_steps.record(uow, reset, actor=caller.actor, now_ms=now_ms, event=event)
    return reset


def _verified(
    uow: UnitOfWork, caller: Caller, reset: PasswordReset, command: PasswordVerified, now_ms: int
) -> PasswordReset:
    """Only the newest credential of the reset can be the one that was tried."""
    if reset.state is not ResetState.APPLIED or command.n != reset.n:
        return reset
    return reset_steps.advance(uow, reset, ResetEvent.VERIFIED, actor=caller.actor, now_ms=now_ms)


def _failed(
    uow: UnitOfWork, caller: Caller, reset: PasswordReset, command: PasswordFailed, now_ms: int
) -> PasswordReset:
    if reset.state not in OPEN:
        return reset
    return reset_steps.advance(
        uow,
        reset,
        ResetEvent.FAILED,
        actor=caller.actor,
        now_ms=now_ms,
        failure=command.failure,
        detail=command.detail,
    )


def _mine(uow: UnitOfWork, caller: Caller, contract: ContractId, named: str) -> PasswordReset:
    reset = _get(uow, contract, named)
    if reset.state is ResetState.REQUESTED:
        raise AgentNotAllowed("claim the reset before you report on it")
    if reset.agent and reset.agent != caller.kid:
        raise ResetTaken(agent=reset.agent)
    return reset


def _get(uow: UnitOfWork, contract: ContractId, named: str) -> PasswordReset:
    found = uow.resets.get(ResetId(named))
    if found is None or found.contract != contract:
        raise NotFound("there is no such reset of this contract")
    return found


def _row(uow: UnitOfWork, reset: PasswordReset) -> ResetRow:
    return _rows(uow, (reset,))[0]


def _rows(uow: UnitOfWork, resets: tuple[PasswordReset, ...]) -> tuple[ResetRow, ...]:
    contracts = tuple(dict.fromkeys(reset.contract for reset in resets))
    numbers = uow.contracts.credential_numbers(contracts)
    return tuple(ResetRow(reset, numbers.get(reset.contract, 0) + 1) for reset in resets)


def _new(
    uow: UnitOfWork,
    contract: Contract,
    origin: ResetOrigin,
    actor: str,
    now_ms: int,
    agent: Kid | None = None,
) -> PasswordReset:
    """Return the next reset of a contract; a provider's is claimed already."""
    if contract.state not in _RUNNING:
        raise NoMachine(f"the contract is {contract.state.value}: it has no running machine")
    before = uow.resets.of_contract(contract.id)
    check_limits(before, origin, now_ms)
    claimed = origin is ResetOrigin.PROVIDER
    return PasswordReset(
        id=ResetId(f"{contract.id}.reset{len(before) + 1}"),
        contract=contract.id,
        provider=contract.provider,
        pool=contract.pool,
        origin=origin,
        state=ResetState.CLAIMED if claimed else ResetState.REQUESTED,
        requested_at_ms=now_ms,
        state_since_ms=now_ms,
        deadline_ms=now_ms + (WORKED_ON_MS if claimed else REQUESTED_MS),
        asked_by=actor,
        agent=agent or "",
    )

"""What agents say about resets: that they took one up, what they put in, that it works or cannot be."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app import reset_steps
from decent_cloud.app.agents import AgentNotAllowed
from decent_cloud.app.assignments import assigned
from decent_cloud.app.caller import Caller
from decent_cloud.app.contracts import get_contract
from decent_cloud.app.credentials import CredentialConflict, store_credential
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.resets import (
    RUNNING,
    Asked,
    NoMachine,
    ResetRow,
    new_reset,
    require_machine,
    row_of,
)
from decent_cloud.domain.contracts import instance, lifecycle
from decent_cloud.domain.contracts.assignment import Assignment, WrongScope
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.reset import (
    OPEN,
    Reset,
    ResetEvent,
    ResetOpen,
    ResetTaken,
)
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.ids import ContractId, ResetId
from decent_cloud.kernel.status import (
    AssignmentState,
    Permission,
    ResetOrigin,
    ResetState,
    ResetSubject,
)
from decent_cloud.wire.v1.resets import (
    KeysApplied,
    KeysReport,
    PasswordApplied,
    PasswordReport,
    ResetClaimed,
    ResetGivenUp,
    ResetVerified,
)


def report_password(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: PasswordReport, now_ms: int
) -> ResetRow:
    """Take in what an agent says about a new password; errors as `_report`."""
    return _report(uow, caller, contract_id, ResetSubject.PASSWORD, command, now_ms)


def report_keys(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: KeysReport, now_ms: int
) -> ResetRow:
    """Take in what an agent says about new SSH keys; errors as `_report`."""
    return _report(uow, caller, contract_id, ResetSubject.SSH_KEYS, command, now_ms)


def _report(
    uow: UnitOfWork,
    caller: Caller,
    contract_id: ContractId,
    subject: ResetSubject,
    command: PasswordReport | KeysReport,
    now_ms: int,
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
    if isinstance(command, ResetClaimed):
        claimable = _claimable(uow, contract.id, subject, command.reset)
        return row_of(uow, _claimed(uow, caller, contract, found, claimable, now_ms))
    reset = _mine(uow, caller, contract.id, subject, command.reset)
    return row_of(uow, _taken_in(uow, caller, contract, reset, command, now_ms))


def _taken_in(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    reset: Reset,
    command: PasswordApplied | KeysApplied | ResetVerified | ResetGivenUp,
    now_ms: int,
) -> Reset:
    match command:
        case PasswordApplied():
            return _applied(uow, caller, contract, reset, command, now_ms)
        case KeysApplied():
            return _keys_applied(uow, caller, reset, command, now_ms)
        case ResetVerified():
            return _verified(uow, caller, reset, command, now_ms)
        case ResetGivenUp():
            return _failed(uow, caller, reset, command, now_ms)


def _claimed(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    found: Assignment,
    reset: Reset | None,
    now_ms: int,
) -> Reset:
    if reset is None:
        if found.state is not AssignmentState.BOUND:
            raise NoMachine
        require_machine(contract, RUNNING)
        asked = Asked(ResetOrigin.PROVIDER, caller.actor, agent=caller.kid)
        new = new_reset(uow, contract, asked, now_ms)
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


def _claimable(
    uow: UnitOfWork, contract: ContractId, subject: ResetSubject, named: str
) -> Reset | None:
    """Return the reset that is named; without a name, the open one if there is any.

    A provider begins new passwords by itself, never SSH keys. Errors: NotFound, ResetOpen.
    """
    if named or subject is ResetSubject.SSH_KEYS:
        return _get(uow, contract, subject, named)
    found = next((one for one in uow.resets.of_contract(contract) if one.state in OPEN), None)
    if found is not None and found.subject is not subject:
        raise ResetOpen
    return found


def _applied(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    reset: Reset,
    command: PasswordApplied,
    now_ms: int,
) -> Reset:
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
    event = reset_steps.event_name(reset.subject, ResetState.APPLIED)
    reset_steps.record(uow, reset, actor=caller.actor, now_ms=now_ms, event=event)
    return reset


def _keys_applied(
    uow: UnitOfWork, caller: Caller, reset: Reset, command: KeysApplied, now_ms: int
) -> Reset:
    if reset.state is not ResetState.CLAIMED or command.n != reset.n:
        return reset
    return reset_steps.advance(uow, reset, ResetEvent.APPLIED, actor=caller.actor, now_ms=now_ms)


def _verified(
    uow: UnitOfWork, caller: Caller, reset: Reset, command: ResetVerified, now_ms: int
) -> Reset:
    """Only the newest credential of the reset, or its list, can be what was tried."""
    if reset.state is not ResetState.APPLIED or command.n != reset.n:
        return reset
    return reset_steps.advance(uow, reset, ResetEvent.VERIFIED, actor=caller.actor, now_ms=now_ms)


def _failed(
    uow: UnitOfWork, caller: Caller, reset: Reset, command: ResetGivenUp, now_ms: int
) -> Reset:
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


def _mine(
    uow: UnitOfWork, caller: Caller, contract: ContractId, subject: ResetSubject, named: str
) -> Reset:
    reset = _get(uow, contract, subject, named)
    if reset.state is ResetState.REQUESTED:
        raise AgentNotAllowed("claim the reset before you report on it")
    if reset.agent and reset.agent != caller.kid:
        raise ResetTaken(agent=reset.agent)
    return reset


def _get(uow: UnitOfWork, contract: ContractId, subject: ResetSubject, named: str) -> Reset:
    found = uow.resets.get(ResetId(named))
    if found is None or (found.contract, found.subject) != (contract, subject):
        raise NotFound("there is no such reset of this contract")
    return found

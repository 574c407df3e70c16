"""Resets of a machine's password or SSH keys: somebody asks, an agent of the machine's backend does and proves it.

The platform never sees a password: it keeps what the agent sealed, and says how far the work is. It cannot
name a key either: the agent takes a list that the tenant signed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from decent_cloud.app import reset_steps
from decent_cloud.app.accounts import load_chain
from decent_cloud.app.agents import AgentNotAllowed, authorize
from decent_cloud.app.assignments import assigned
from decent_cloud.app.caller import Caller, CallerKind, require_writer
from decent_cloud.app.contracts import NotYourSide, get_contract, read_contract
from decent_cloud.app.credentials import CredentialConflict, store_credential
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.contracts import instance, lifecycle
from decent_cloud.domain.contracts.assignment import Assignment, WrongScope
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.reset import (
    OPEN,
    REQUESTED_MS,
    WORKED_ON_MS,
    KeyListStale,
    Reset,
    ResetEvent,
    ResetNotPromised,
    ResetOpen,
    ResetTaken,
    check_limits,
    newest_list,
)
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.keys.key_lists import verify_key_list
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.errors import Conflict, NotFound
from decent_cloud.kernel.ids import AccountId, ContractId, Kid, ResetId
from decent_cloud.kernel.status import (
    AssignmentState,
    ContractState,
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
    ReplaceKeys,
    ResetClaimed,
    ResetGivenUp,
    ResetVerified,
)

_log = structlog.get_logger("resets")

PLATFORM = "platform"
_RUNNING = frozenset({ContractState.PROVISIONED, ContractState.ACTIVE})
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
    _require_state(contract, _RUNNING)
    reset = _new(uow, contract, _Asked(ResetOrigin.TENANT, caller.actor), now_ms)
    return _row(uow, reset_steps.begin(uow, reset, actor=caller.actor, now_ms=now_ms))


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
    _require_state(contract, _RUNNING | _COMING)
    statement = from_wire(command.statement)
    wish = verify_key_list(statement, chain, contract.digest)
    text = statement_text(statement)
    newest = newest_list(uow.resets.of_contract(contract.id))
    if newest is not None and newest.statement == text:
        return _row(uow, newest)
    if newest is not None and newest.n >= wish.number:
        raise KeyListStale(n=newest.n)
    asked = _Asked(ResetOrigin.TENANT, caller.actor, n=wish.number, statement=text)
    reset = _new(uow, contract, asked, now_ms)
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
        return _row(uow, _claimed(uow, caller, contract, found, claimable, now_ms))
    reset = _mine(uow, caller, contract.id, subject, command.reset)
    return _row(uow, _taken_in(uow, caller, contract, reset, command, now_ms))


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
        _require_state(contract, _RUNNING)
        asked = _Asked(ResetOrigin.PROVIDER, caller.actor, agent=caller.kid)
        new = _new(uow, contract, asked, now_ms)
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


def _row(uow: UnitOfWork, reset: Reset) -> ResetRow:
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


def _require_state(contract: Contract, states: frozenset[ContractState]) -> None:
    if contract.state not in states:
        raise NoMachine(f"the contract is {contract.state.value}: it has no running machine")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks for a reset, and of what: with a list, of SSH keys. A provider's agent begins at once."""

    origin: ResetOrigin
    actor: str
    agent: Kid | None = None
    n: int = 0
    statement: str = ""


def _new(uow: UnitOfWork, contract: Contract, asked: _Asked, now_ms: int) -> Reset:
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

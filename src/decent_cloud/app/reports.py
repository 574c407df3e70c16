"""What agents report about instances: provisioned, failed, gone, quarantined, healthy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.app import steps
from decent_cloud.app.assignments import assigned
from decent_cloud.app.caller import Caller
from decent_cloud.app.contracts import get_contract
from decent_cloud.app.credentials import store_credential
from decent_cloud.app.first_scripts import store_log
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts import assignment as rules
from decent_cloud.domain.contracts import instance, lifecycle
from decent_cloud.domain.contracts.assignment import (
    ASSIGNMENT,
    Assignment,
    AssignmentEvent,
    WrongScope,
)
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.contracts.traffic import Reading, count
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import AssignmentState, Desired, Observed, Permission
from decent_cloud.wire.v1.assignments import (
    FailedReport,
    HealthReport,
    ProvisionedReport,
    ProvisioningReport,
    QuarantinedReport,
    TerminatedReport,
)


@dataclass(frozen=True, slots=True)
class Reported:
    """How contract and assignment stand after a report; `assignment.desired` is what is wanted now."""

    contract: Contract
    assignment: Assignment


def report(
    uow: UnitOfWork,
    caller: Caller,
    contract_id: ContractId,
    command: ProvisioningReport,
    now_ms: int,
) -> Reported:
    """Take in what an agent says about the instance of a contract. The same report again changes nothing.

    A success that comes too late is not refused: the answer says that nothing is wanted any more.
    Errors: AgentNotAllowed, NotFound, LeaseLost for whoever lost the lease, WrongScope, CredentialConflict.
    """
    found = assigned(uow, caller, contract_id, Permission.PROVISION, now_ms)
    match command:
        case ProvisionedReport():
            _provisioned(uow, caller, found, command, now_ms)
        case FailedReport():
            _failed(uow, caller, found, command, now_ms)
        case TerminatedReport():
            _terminated(uow, caller, found, command, now_ms)
        case QuarantinedReport():
            _quarantined(uow, caller, found, command, now_ms)
    return _reported(uow, contract_id)


def report_health(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: HealthReport, now_ms: int
) -> Reported:
    """Take in what the agent's last read of its backend said; only a bound instance can be found gone.

    Errors: AgentNotAllowed, NotFound.
    """
    found = assigned(uow, caller, contract_id, Permission.HEALTH_CHECK, now_ms)
    _count(uow, found, command, now_ms)
    after = instance.observe(found, command.observed, command.scope, command.observed_at_ms, now_ms)
    if after != found:
        uow.assignments.save(after)
        stored = replace(after, version=after.version + 1)
        if after.observed is Observed.ABSENT and after.state is AssignmentState.BOUND:
            _gone(uow, caller, stored, command.detail, now_ms)
    return _reported(uow, contract_id)


def _count(uow: UnitOfWork, found: Assignment, command: HealthReport, now_ms: int) -> None:
    """Keep what the machine on record received and sent; another backend's counters are another machine's."""
    told = command.traffic
    bound = found.state is AssignmentState.BOUND and instance.trusted(found, command.scope)
    if told is None or not bound:
        return
    reading = Reading(told.received_bytes, told.sent_bytes, told.since_ms)
    before = uow.contracts.traffic(found.contract)
    uow.contracts.put_traffic(count(before, found.contract, reading, now_ms))


def _provisioned(
    uow: UnitOfWork, caller: Caller, found: Assignment, command: ProvisionedReport, now_ms: int
) -> None:
    rules.check_fence(found, caller.kid, command.fence)
    if found.scope and found.scope != command.scope:
        raise WrongScope
    contract = get_contract(uow, found.contract)
    bound = rules.bind(found, command.instance, now_ms)
    if bound != found:
        uow.assignments.save(bound)
    if found.desired is Desired.ABSENT or contract.state in lifecycle.TERMINAL:
        return
    store_credential(uow, contract, caller, command.credential, now_ms)
    if command.log is not None:
        store_log(uow, contract, caller, command.log, now_ms)
    if bound == found:
        return
    made = replace(contract, host=command.host, port=command.port, host_keys=command.host_keys)
    steps.advance(
        uow,
        made,
        ContractEvent.PROVISIONED,
        actor=caller.actor,
        now_ms=now_ms,
        evidence=f"scope {command.scope}, instance {command.instance}",
    )


def _failed(
    uow: UnitOfWork, caller: Caller, found: Assignment, command: FailedReport, now_ms: int
) -> None:
    if found.state is AssignmentState.ENDED and found.fence == command.fence:
        return
    rules.check_fence(found, caller.kid, command.fence)
    if command.left_behind:
        ASSIGNMENT.next(found.state, AssignmentEvent.FAILED)
    else:
        uow.assignments.save(rules.end(found, AssignmentEvent.FAILED, now_ms))
    contract = get_contract(uow, found.contract)
    if command.log is not None:
        store_log(uow, contract, caller, command.log, now_ms)
    if contract.state in lifecycle.TERMINAL:
        return
    steps.advance(
        uow,
        contract,
        ContractEvent.PROVISION_FAILED,
        actor=caller.actor,
        now_ms=now_ms,
        reason=command.reason.value,
        evidence=_evidence(command),
    )


def _evidence(command: FailedReport) -> str:
    if command.left_behind:
        return f"{command.detail} (left behind: {command.left_behind})".strip()
    return command.detail


def _terminated(
    uow: UnitOfWork, caller: Caller, found: Assignment, command: TerminatedReport, now_ms: int
) -> None:
    if found.state is AssignmentState.ENDED:
        return
    if instance.gone(found, command.scope):
        _gone(uow, caller, found, command.detail, now_ms)
        return
    seen = instance.observe(found, Observed.ABSENT, command.scope, now_ms, now_ms)
    if seen != found:
        uow.assignments.save(seen)


def _gone(uow: UnitOfWork, caller: Caller, found: Assignment, detail: str, now_ms: int) -> None:
    """End the work: a read of the right backend found nothing."""
    uow.assignments.save(rules.end(found, AssignmentEvent.GONE, now_ms))
    contract = get_contract(uow, found.contract)
    if contract.state in lifecycle.TERMINAL:
        return
    steps.advance(
        uow,
        contract,
        ContractEvent.GONE,
        actor=caller.actor,
        now_ms=now_ms,
        reason="instance gone",
        evidence=detail or f"not found in {found.scope}",
    )


def _quarantined(
    uow: UnitOfWork, caller: Caller, found: Assignment, command: QuarantinedReport, now_ms: int
) -> None:
    """Show the provider what its agent keeps aside; the instance on record may be another one."""
    data = {
        "agent": caller.kid,
        "scope": command.scope,
        "instance": command.instance,
        "detail": command.detail,
    }
    stream = f"account/{found.provider}"
    uow.outbox.append(Event(stream, "quarantined", found.contract, data, now_ms))
    if command.instance and command.instance == found.instance:
        seen = instance.observe(found, Observed.QUARANTINED, command.scope, now_ms, now_ms)
        if seen != found:
            uow.assignments.save(seen)


def _reported(uow: UnitOfWork, contract_id: ContractId) -> Reported:
    assignment = uow.assignments.get(contract_id)
    if assignment is None:
        raise Internal
    return Reported(get_contract(uow, contract_id), assignment)

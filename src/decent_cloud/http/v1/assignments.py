"""Work for agents: the signed desired state, leases, and reports about instances."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from decent_cloud.app import assignments, reports
from decent_cloud.app.assignments import PoolDesired, Work
from decent_cloud.app.reports import Reported
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.platform import DESIRED, PlatformKey
from decent_cloud.http.call import Call
from decent_cloud.http.v1.first_scripts import first_script_view
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.ids import AccountId, ContractId
from decent_cloud.kernel.status import ContractState, ResetSubject
from decent_cloud.wire.v1.agents import (
    AsideWordView,
    AssignmentsView,
    AssignmentView,
    DesiredView,
    InstanceTerms,
    SignedDesired,
)
from decent_cloud.wire.v1.assignments import (
    HealthReport,
    LeaseView,
    ProvisioningReport,
    RenewLease,
    ReportAnswer,
    StartCreate,
    TakeLease,
)
from decent_cloud.wire.v1.statements import StatementWire

Seq = Annotated[
    int,
    QueryParameter(ge=0, le=2**53 - 1, description="The log number that the agent has pinned."),
]


@get("/agents/me/desired", summary="Desired state")
async def read_desired(call: NamedDependency[Call], since: Seq = 0) -> SignedDesired:
    """Return all that the calling agent's pool is to do, signed by the platform; `since` asks for the hash there."""
    found = await call.read(lambda uow: assignments.desired(uow, call.caller, since, call.now_ms))
    return signed_desired(found, call.edge.platform_key)


@get("/providers/{provider:str}/contracts/pending-provision", summary="Work to be done")
async def list_pending(call: NamedDependency[Call], provider: FromPath[str]) -> AssignmentsView:
    """List the contracts of the calling agent's pool whose machine is still to be made."""
    found = await call.read(
        lambda uow: assignments.pending_provision(
            uow, call.caller, AccountId(provider), call.now_ms
        )
    )
    return AssignmentsView(items=tuple(assignment_view(work) for work in found))


@post("/assignments/{contract:str}/lease", status_code=200, summary="Take a lease")
async def take_lease(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[TakeLease]
) -> Response[LeaseView]:
    """Work on a contract for 60 s; everything that is done under the lease carries its fence."""
    return await call.write(
        lambda uow: lease_view(
            assignments.take_lease(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


@post("/assignments/{contract:str}/renew", status_code=200, summary="Renew a lease")
async def renew_lease(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[RenewLease]
) -> Response[LeaseView]:
    """Keep a lease for 60 s more; 409 `lease_lost` if it belongs to another agent now."""
    return await call.write(
        lambda uow: lease_view(
            assignments.renew_lease(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


@post("/assignments/{contract:str}/create-started", status_code=200, summary="Begin to create")
async def start_create(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[StartCreate]
) -> Response[LeaseView]:
    """Ask leave before the first create call of an attempt; granted once."""
    return await call.write(
        lambda uow: lease_view(
            assignments.create_started(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


@put("/provider/rental-requests/{contract:str}/provisioning", summary="Report on provisioning")
async def report_provisioning(
    call: NamedDependency[Call],
    contract: FromPath[str],
    data: JSONBody[ProvisioningReport],
) -> Response[ReportAnswer]:
    """Report a machine as provisioned, failed, gone or kept aside; the answer says what is wanted now."""
    return await call.write(
        lambda uow: report_answer(
            reports.report(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


@post("/contracts/{contract:str}/health", status_code=200, summary="Report health")
async def report_health(
    call: NamedDependency[Call], contract: FromPath[str], data: JSONBody[HealthReport]
) -> Response[ReportAnswer]:
    """Report what the agent's last read of its backend said."""
    return await call.write(
        lambda uow: report_answer(
            reports.report_health(uow, call.caller, ContractId(contract), data, call.now_ms)
        )
    )


def signed_desired(found: PoolDesired, key: PlatformKey) -> SignedDesired:
    """Render the desired state and sign the very bytes that are sent."""
    view = DesiredView(
        platform_id=key.platform_id,
        provider=found.pool.provider,
        pool=found.pool.id,
        seq=found.pool.log_seq,
        hash=found.pool.log_hash,
        pin_seq=found.pin_seq,
        pin_hash=found.pin_hash,
        issued_at_ms=found.issued_at_ms,
        assignments=tuple(assignment_view(work) for work in found.items),
        asides=tuple(
            AsideWordView(contract=row.aside.contract, instance=row.aside.instance, word=row.word)
            for row in found.asides
        ),
    )
    payload = to_json(view)
    return SignedDesired(payload=b64u.encode(payload), sig=b64u.encode(key.sign(DESIRED, payload)))


def assignment_view(work: Work) -> AssignmentView:
    """Render one contract as work for an agent."""
    assignment, contract = work.assignment, work.contract
    plan = contract.plan
    return AssignmentView(
        contract=contract.id,
        digest=contract.digest,
        state=assignment.state,
        desired=assignment.desired,
        attempt=assignment.attempt,
        fence=assignment.fence,
        holder=assignment.holder,
        lease_expires_at_ms=assignment.lease_expires_ms,
        scope=assignment.scope,
        tenant=contract.tenant,
        order=from_json(contract.order, StatementWire),
        terms=InstanceTerms(
            image=plan.image,
            cpu_milli=plan.cpu_milli,
            memory_mib=plan.memory_mib,
            disk_gib=plan.disk_gib,
            settings=dict(plan.settings),
            management_key=plan.management_key,
            first_script=first_script_view(plan.first_script.script if plan.first_script else None),
        ),
        paid_until_ms=contract.paid_until_ms,
        deadline_ms=contract.deadline_ms,
        renews=contract.renews,
        suspended=contract.state is ContractState.SUSPENDED,
        next_n=work.next_n,
        reset=_open_reset(work, ResetSubject.PASSWORD),
        keys_reset=_open_reset(work, ResetSubject.SSH_KEYS),
        key_list=from_json(work.key_list, StatementWire) if work.key_list else None,
    )


def _open_reset(work: Work, subject: ResetSubject) -> str:
    """Each kind has a field of its own: an agent that knows passwords only must not take up SSH keys."""
    return work.reset.id if work.reset is not None and work.reset.subject is subject else ""


def lease_view(found: Assignment) -> LeaseView:
    """Render a lease for its holder."""
    return LeaseView(
        contract=found.contract,
        state=found.state,
        desired=found.desired,
        attempt=found.attempt,
        fence=found.fence,
        lease_expires_at_ms=found.lease_expires_ms,
    )


def report_answer(found: Reported) -> ReportAnswer:
    """Render how things stand after a report."""
    return ReportAnswer(
        contract=found.contract.id,
        contract_state=found.contract.state,
        assignment_state=found.assignment.state,
        desired=found.assignment.desired,
    )


ROUTES = (
    read_desired,
    list_pending,
    take_lease,
    renew_lease,
    start_create,
    report_provisioning,
    report_health,
)

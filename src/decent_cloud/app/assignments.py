"""Work for agents: the desired state of a pool, leases with fences, and leave to create."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.app import asides, steps
from decent_cloud.app.agents import authorize
from decent_cloud.app.asides import AsideRow
from decent_cloud.app.caller import Caller
from decent_cloud.app.contracts import get_contract
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts import assignment as rules
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.contracts.reset import Reset
from decent_cloud.domain.identity.providers import Delegation, Pool
from decent_cloud.kernel.errors import Internal, NotFound
from decent_cloud.kernel.ids import AccountId, ContractId, PoolId
from decent_cloud.kernel.status import ContractState, Permission
from decent_cloud.wire.v1.assignments import RenewLease, StartCreate, TakeLease


@dataclass(frozen=True, slots=True)
class Work:
    """One assignment with its contract, the number that the next credential gets, and the open reset.

    `key_list` is the newest SSH key list that the tenant signed since the order, as JSON.
    """

    assignment: Assignment
    contract: Contract
    next_n: int
    reset: Reset | None = None
    key_list: str = ""


@dataclass(frozen=True, slots=True)
class PoolDesired:
    """The whole desired state of a pool at one moment: what the platform signs for its agents.

    `pin_hash` is the log's hash at `pin_seq`, empty if the log is shorter.
    """

    pool: Pool
    pin_seq: int
    pin_hash: str
    issued_at_ms: int
    items: tuple[Work, ...]
    asides: tuple[AsideRow, ...] = ()  # what the calling agent keeps aside


def desired(uow: UnitOfWork, caller: Caller, pin_seq: int, now_ms: int) -> PoolDesired:
    """Return everything that the calling agent's pool is to do, and the log's hash at the agent's pin.

    Errors: AgentNotAllowed.
    """
    delegation = authorize(uow, caller, Permission.FETCH_CONTRACTS, now_ms)
    pool = _pool(uow, delegation)
    return PoolDesired(
        pool=pool,
        pin_seq=pin_seq,
        pin_hash=uow.providers.log_hash(pool.id, pin_seq) if pin_seq > 0 else "",
        issued_at_ms=now_ms,
        items=_works(uow, pool.id),
        asides=asides.words(uow, pool.provider, caller.kid, now_ms),
    )


def pending_provision(
    uow: UnitOfWork, caller: Caller, provider: AccountId, now_ms: int
) -> tuple[Work, ...]:
    """List the contracts of the agent's pool whose instance is still to be made.

    Errors: AgentNotAllowed, NotFound for another provider.
    """
    if provider != caller.account:
        raise NotFound("there is no such provider, or it is not yours")
    delegation = authorize(uow, caller, Permission.FETCH_CONTRACTS, now_ms)
    waiting = {ContractState.ACCEPTED, ContractState.PROVISIONING}
    works = _works(uow, delegation.pool)
    return tuple(one for one in works if one.contract.state in waiting)


def take_lease(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: TakeLease, now_ms: int
) -> Assignment:
    """Give the work on a contract to the calling agent: a new fence for 60 s.

    Errors: AgentNotAllowed, NotFound, LeaseTaken, WrongScope, NotWanted.
    """
    found = assigned(uow, caller, contract_id, Permission.PROVISION, now_ms)
    return _save(uow, found, rules.take_lease(found, caller.kid, command.scope, now_ms))


def renew_lease(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: RenewLease, now_ms: int
) -> Assignment:
    """Keep a lease for 60 s more.

    Errors: AgentNotAllowed, NotFound, LeaseLost.
    """
    found = assigned(uow, caller, contract_id, Permission.PROVISION, now_ms)
    return _save(uow, found, rules.renew(found, caller.kid, command.fence, now_ms))


def create_started(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: StartCreate, now_ms: int
) -> Assignment:
    """Give leave for the first create call of this attempt; from now on an instance may exist.

    Errors: AgentNotAllowed, NotFound, LeaseLost, WrongScope, NotWanted.
    """
    found = assigned(uow, caller, contract_id, Permission.PROVISION, now_ms)
    after = rules.start_create(found, caller.kid, command.fence, command.scope, now_ms)
    stored = _save(uow, found, after)
    contract = get_contract(uow, contract_id)
    if contract.state is ContractState.ACCEPTED:
        steps.advance(
            uow, contract, ContractEvent.CREATE_STARTED, actor=caller.actor, now_ms=now_ms
        )
    return stored


def assigned(
    uow: UnitOfWork,
    caller: Caller,
    contract_id: ContractId,
    permission: Permission,
    now_ms: int,
) -> Assignment:
    """Return the assignment of a contract in the calling agent's own pool.

    Errors: AgentNotAllowed, NotFound.
    """
    delegation = authorize(uow, caller, permission, now_ms)
    found = uow.assignments.get(contract_id)
    if found is None or (found.provider, found.pool) != (caller.account, delegation.pool):
        raise NotFound("there is no such contract in this agent's pool")
    return found


def _save(uow: UnitOfWork, before: Assignment, after: Assignment) -> Assignment:
    if after == before:
        return before
    uow.assignments.save(after)
    return replace(after, version=after.version + 1)


def _works(uow: UnitOfWork, pool: PoolId) -> tuple[Work, ...]:
    """Read a pool's live work in five looks, however much there is."""
    live = uow.assignments.live(pool)
    ids = tuple(one.contract for one in live)
    found = {contract.id: contract for contract in uow.contracts.many(ids)}
    numbers = uow.contracts.credential_numbers(ids)
    resets = uow.resets.open_of_pool(pool)
    lists = uow.resets.key_lists(ids)
    return tuple(
        Work(
            assignment=one,
            contract=found[one.contract],
            next_n=numbers.get(one.contract, 0) + 1,
            reset=resets.get(one.contract),
            key_list=lists[one.contract].statement if one.contract in lists else "",
        )
        for one in live
    )


def _pool(uow: UnitOfWork, delegation: Delegation) -> Pool:
    found = uow.providers.pool(delegation.pool)
    if found is None:
        raise Internal("a delegation names a pool that does not exist", pool=delegation.pool)
    return found

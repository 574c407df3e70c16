"""What agents are told: assignments opened and changed, each change chained into its pool's log."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.assignment import Assignment, want
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.identity.providers import PoolLogEntry
from decent_cloud.domain.keys import canonical
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.status import AssignmentState, Desired

LOG_LABEL = b"dcx/log/v1\0"


def open_assignment(uow: UnitOfWork, contract: Contract, now_ms: int) -> None:
    """Give the contract to the agents of its pool."""
    uow.assignments.add(
        Assignment(
            contract=contract.id,
            provider=contract.provider,
            pool=contract.pool,
            state=AssignmentState.OPEN,
            desired=Desired.RUNNING,
            created_at_ms=now_ms,
        )
    )
    _tell(uow, contract, Desired.RUNNING, now_ms)


def set_desired(uow: UnitOfWork, contract: Contract, desired: Desired, now_ms: int) -> None:
    """Change what is wanted of the contract's instance, and tell its pool, also of new paid time."""
    assignment = uow.assignments.get(contract.id)
    if assignment is None:
        raise Internal("a contract that is worked on has no assignment", contract=contract.id)
    if assignment.state is AssignmentState.ENDED:
        return
    after = want(assignment, desired, now_ms)
    if after != assignment:
        uow.assignments.save(after)
    _tell(uow, contract, desired, now_ms)


def entry_bytes(contract: Contract, desired: Desired, prev: str, seq: int) -> bytes:
    """Return one log entry in canonical JSON; `prev` is the hash before it, empty for the first."""
    return canonical.write(
        {
            "contract": contract.id,
            "desired": desired.value,
            "paid_until_ms": contract.paid_until_ms,
            "prev": prev,
            "renews": int(contract.renews),
            "seq": seq,
            "state": contract.state.value,
        }
    )


def entry_hash(entry: bytes) -> str:
    """Return the hash that chains an entry into the log, in hex."""
    return sha256(LOG_LABEL + entry).hexdigest()


def hint(uow: UnitOfWork, contract: Contract, kind: str, now_ms: int) -> None:
    """Wake the pool's agents: something about this contract is worth a fetch."""
    uow.outbox.append(Event(f"pool/{contract.pool}", kind, contract.id, {}, now_ms))


def _tell(uow: UnitOfWork, contract: Contract, desired: Desired, now_ms: int) -> None:
    pool = uow.providers.pool(contract.pool)
    if pool is None:
        raise Internal("a contract names a pool that does not exist", contract=contract.id)
    seq = pool.log_seq + 1
    entry = entry_bytes(contract, desired, pool.log_hash, seq)
    head = entry_hash(entry)
    uow.providers.append_log(
        replace(pool, log_seq=seq, log_hash=head),
        PoolLogEntry(pool=pool.id, seq=seq, hash=head, entry=entry.decode()),
    )
    hint(uow, contract, desired.value, now_ms)

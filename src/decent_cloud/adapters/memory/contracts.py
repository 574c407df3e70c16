"""Contracts, terms, histories, sealed credentials and assignments in dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from decent_cloud.adapters.memory.tables import Journal, Table, newest_first
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, SealedCredential, Term
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.kernel.errors import AlreadyExists, Conflict
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, PoolId
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import AssignmentState, ContractState

_EARNING = {ContractState.ACTIVE, ContractState.SUSPENDED, ContractState.LAPSED}


class MemoryContracts:
    """Keeps the port `Contracts`."""

    def __init__(self, journal: Journal) -> None:
        self._contracts: Table[Contract] = Table(journal)
        self._history: Table[HistoryRow] = Table(journal)
        self._terms: Table[Term] = Table(journal)
        self._credentials: Table[SealedCredential] = Table(journal)
        self._traffic: Table[Traffic] = Table(journal)

    def get(self, contract: ContractId) -> Contract | None:
        return self._contracts.get(contract)

    def many(self, contracts: tuple[ContractId, ...]) -> tuple[Contract, ...]:
        wanted = set(contracts)
        found = (row for row in self._contracts if row.id in wanted)
        return tuple(sorted(found, key=lambda row: row.id))

    def by_digest(self, digest: Digest) -> Contract | None:
        for contract in self._contracts:
            if contract.digest == digest:
                return contract
        for term in self._terms:
            if term.digest == digest:
                return self._contracts.get(term.contract)
        return None

    def add(self, contract: Contract, history: HistoryRow) -> None:
        if any(other.digest == contract.digest for other in self._contracts):
            raise AlreadyExists
        self._contracts.add(contract, contract.id)
        self._history.add(history, history.contract, history.version)

    def save(self, contract: Contract, history: HistoryRow) -> None:
        self._contracts.save(contract, contract.id)
        self._history.add(history, history.contract, history.version)

    def history(self, contract: ContractId) -> tuple[HistoryRow, ...]:
        found = (row for row in self._history if row.contract == contract)
        return tuple(sorted(found, key=lambda row: row.version))

    def of_tenant(self, tenant: AccountId, page: PageRequest) -> Page[Contract]:
        return newest_first((row for row in self._contracts if row.tenant == tenant), page)

    def of_provider(
        self, provider: AccountId, states: tuple[ContractState, ...], page: PageRequest
    ) -> Page[Contract]:
        wanted = states or tuple(ContractState)
        mine = (row for row in self._contracts if row.provider == provider and row.state in wanted)
        return newest_first(mine, page)

    def between(self, one: AccountId, other: AccountId) -> bool:
        pair = {(one, other), (other, one)}
        return any((row.tenant, row.provider) in pair for row in self._contracts)

    def of_pool(self, pool: PoolId, states: tuple[ContractState, ...]) -> tuple[Contract, ...]:
        found = (row for row in self._contracts if row.pool == pool and row.state in states)
        return tuple(sorted(found, key=lambda row: row.id))

    def unpaid_of(self, tenant: AccountId) -> int:
        mine = (row for row in self._contracts if row.tenant == tenant)
        return sum(row.state is ContractState.REQUESTED for row in mine)

    def count_by_state(self) -> dict[ContractState, int]:
        return Counter(row.state for row in self._contracts)

    def due(self, now_ms: int, limit: int) -> tuple[Contract, ...]:
        found = (row for row in self._contracts if 0 < row.deadline_ms <= now_ms)
        return tuple(sorted(found, key=lambda row: (row.deadline_ms, row.id))[:limit])

    def shift_deadlines(self, gap_ms: int, since_ms: int, grace_until_ms: int) -> int:
        moved = 0
        for row in self._contracts:
            deadline_ms = row.deadline_ms
            if row.state is not ContractState.ACTIVE and deadline_ms > 0:
                deadline_ms += gap_ms
            elif row.state is ContractState.ACTIVE and since_ms < deadline_ms <= since_ms + gap_ms:
                deadline_ms = grace_until_ms
            else:
                continue
            self._contracts.save(replace(row, deadline_ms=deadline_ms), row.id)
            moved += 1
        return moved

    def terms(self, contract: ContractId) -> tuple[Term, ...]:
        found = (row for row in self._terms if row.contract == contract)
        return tuple(sorted(found, key=lambda row: row.ordinal))

    def add_term(self, term: Term) -> None:
        for other in self._terms:
            same_place = (other.contract, other.ordinal) == (term.contract, term.ordinal)
            if other.digest == term.digest or same_place:
                raise AlreadyExists
        self._terms.add(term, term.id)

    def save_term(self, term: Term) -> None:
        self._terms.save(term, term.id)

    def releasable(self, limit: int, after: str) -> tuple[ContractId, ...]:
        found = (row.id for row in self._contracts if row.state in _EARNING and row.id > after)
        return tuple(sorted(found)[:limit])

    def credential(self, contract: ContractId) -> SealedCredential | None:
        found = (row for row in self._credentials if row.contract == contract)
        return max(found, key=lambda row: row.n, default=None)

    def credential_numbers(self, contracts: tuple[ContractId, ...]) -> Mapping[ContractId, int]:
        wanted = set(contracts)
        found = sorted((row.n, row.contract) for row in self._credentials if row.contract in wanted)
        return {contract: n for n, contract in found}

    def traffic(self, contract: ContractId) -> Traffic | None:
        return self._traffic.get(contract)

    def put_traffic(self, traffic: Traffic) -> None:
        self._traffic.put(traffic, traffic.contract)

    def add_credential(self, credential: SealedCredential) -> None:
        stored = self._credentials.get(credential.contract, credential.n)
        if stored is None:
            self._credentials.add(credential, credential.contract, credential.n)
        elif stored.outer != credential.outer:
            raise Conflict("something else is stored under this identity")


class MemoryAssignments:
    """Keeps the port `Assignments`."""

    def __init__(self, journal: Journal) -> None:
        self._assignments: Table[Assignment] = Table(journal)

    def get(self, contract: ContractId) -> Assignment | None:
        return self._assignments.get(contract)

    def add(self, assignment: Assignment) -> None:
        self._assignments.add(assignment, assignment.contract)

    def save(self, assignment: Assignment) -> None:
        self._assignments.save(assignment, assignment.contract)

    def live(self, pool: PoolId) -> tuple[Assignment, ...]:
        found = (
            row
            for row in self._assignments
            if row.pool == pool and row.state is not AssignmentState.ENDED
        )
        return tuple(sorted(found, key=lambda row: (row.created_at_ms, row.contract)))

    def shift_leases(self, gap_ms: int, since_ms: int) -> int:
        running = [row for row in self._assignments if row.lease_expires_ms > since_ms]
        for row in running:
            moved = replace(row, lease_expires_ms=row.lease_expires_ms + gap_ms)
            self._assignments.save(moved, row.contract)
        return len(running)

"""Where contracts, terms, histories and sealed credentials are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from decent_cloud.domain.contracts.contract import Contract, HistoryRow, SealedCredential, Term
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, PoolId
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import ContractState


class Contracts(Protocol):
    """Contracts by id, unique by digest."""

    def get(self, contract: ContractId) -> Contract | None:
        """Return the contract."""
        ...

    def many(self, contracts: tuple[ContractId, ...]) -> tuple[Contract, ...]:
        """Return those of these contracts that exist, oldest first; for reading only, nothing is locked."""
        ...

    def by_digest(self, digest: Digest) -> Contract | None:
        """Return the contract that a signed order made; an extension's digest finds its contract
        too.
        """
        ...

    def add(self, contract: Contract, history: HistoryRow) -> None:
        """Store a new contract and its first step; AlreadyExists if id or digest is taken."""
        ...

    def save(self, contract: Contract, history: HistoryRow) -> None:
        """Replace the contract if its version is unchanged, and append the step to its history."""
        ...

    def history(self, contract: ContractId) -> tuple[HistoryRow, ...]:
        """Return its life, oldest first."""
        ...

    def of_tenant(self, tenant: AccountId, page: PageRequest) -> Page[Contract]:
        """List a tenant's contracts, newest first."""
        ...

    def of_provider(
        self, provider: AccountId, states: tuple[ContractState, ...], page: PageRequest
    ) -> Page[Contract]:
        """List a provider's contracts (all states if none are named), newest first."""
        ...

    def between(self, one: AccountId, other: AccountId) -> bool:
        """Tell whether either of the two ever rented from the other."""
        ...

    def of_pool(self, pool: PoolId, states: tuple[ContractState, ...]) -> tuple[Contract, ...]:
        """List a pool's contracts in these states, oldest first."""
        ...

    def unpaid_of(self, tenant: AccountId) -> int:
        """Count the tenant's contracts in `requested`."""
        ...

    def count_by_state(self) -> Mapping[ContractState, int]:
        """Count all contracts; states that none is in may be missing."""
        ...

    def due(self, now_ms: int, limit: int) -> tuple[Contract, ...]:
        """Return contracts whose deadline has passed, most overdue first."""
        ...

    def shift_deadlines(self, gap_ms: int, since_ms: int, grace_until_ms: int) -> int:
        """Move open deadlines by a gap in which the platform slept; returns how many moved.

        `active` contracts keep their paid end, but one that ended after `since_ms` lapses at
        `grace_until_ms`.
        """
        ...

    def terms(self, contract: ContractId) -> tuple[Term, ...]:
        """Return its terms in order."""
        ...

    def add_term(self, term: Term) -> None:
        """Store a new term; AlreadyExists if its order's digest was used before."""
        ...

    def save_term(self, term: Term) -> None:
        """Replace the term if its version is unchanged."""
        ...

    def releasable(self, limit: int, after: str) -> tuple[ContractId, ...]:
        """Return ids of contracts that earn now (`active`, `suspended`, `lapsed`), ordered, after a
        given id.
        """
        ...

    def credential(self, contract: ContractId) -> SealedCredential | None:
        """Return the newest sealed credential."""
        ...

    def credential_numbers(self, contracts: tuple[ContractId, ...]) -> Mapping[ContractId, int]:
        """Return the number of the newest credential of each of these contracts that has one."""
        ...

    def traffic(self, contract: ContractId) -> Traffic | None:
        """Return what its machine received and sent; None if nobody ever told."""
        ...

    def put_traffic(self, traffic: Traffic) -> None:
        """Store it in the place of what was there."""
        ...

    def add_credential(self, credential: SealedCredential) -> None:
        """Store a sealed credential; the same (contract, n) again replaces it only by equal bytes,
        else Conflict.
        """
        ...

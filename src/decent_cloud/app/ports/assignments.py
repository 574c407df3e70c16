"""Where assignments are kept."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.kernel.ids import ContractId, PoolId


class Assignments(Protocol):
    """Assignments by contract."""

    def get(self, contract: ContractId) -> Assignment | None:
        """Return the assignment."""
        ...

    def add(self, assignment: Assignment) -> None:
        """Store a new assignment."""
        ...

    def save(self, assignment: Assignment) -> None:
        """Replace it if its version is unchanged."""
        ...

    def live(self, pool: PoolId) -> tuple[Assignment, ...]:
        """Return the pool's assignments that have not ended, oldest first."""
        ...

    def shift_leases(self, gap_ms: int, since_ms: int) -> int:
        """Move the expiry of leases that ran at `since_ms` by a gap in which the platform slept; returns how many."""
        ...

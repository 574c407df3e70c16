"""Where resets of passwords and SSH keys are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from decent_cloud.domain.contracts.reset import Reset
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId


class Resets(Protocol):
    """Resets by id; a contract has at most one open one."""

    def get(self, reset: ResetId) -> Reset | None:
        """Return the reset."""
        ...

    def add(self, reset: Reset) -> None:
        """Store a new reset; AlreadyExists if the contract has an open one."""
        ...

    def save(self, reset: Reset) -> None:
        """Replace it if its version is unchanged."""
        ...

    def of_contract(self, contract: ContractId) -> tuple[Reset, ...]:
        """Return a contract's resets, oldest first."""
        ...

    def open_of_pool(self, pool: PoolId) -> Mapping[ContractId, Reset]:
        """Return a pool's open resets by contract, oldest first."""
        ...

    def key_lists(self, contracts: tuple[ContractId, ...]) -> Mapping[ContractId, Reset]:
        """Return of each contract the reset with its newest SSH key list, if it has any."""
        ...

    def due(self, now_ms: int, limit: int) -> tuple[Reset, ...]:
        """Return open resets whose deadline has passed, most overdue first."""
        ...

    def shift_deadlines(self, gap_ms: int) -> int:
        """Move open deadlines by a gap in which the platform slept; returns how many moved."""
        ...

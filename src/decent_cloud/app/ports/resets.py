"""Where password resets are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from decent_cloud.domain.contracts.password_reset import PasswordReset
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId


class Resets(Protocol):
    """Password resets by id; a contract has at most one open one."""

    def get(self, reset: ResetId) -> PasswordReset | None:
        """Return the reset."""
        ...

    def add(self, reset: PasswordReset) -> None:
        """Store a new reset; AlreadyExists if the contract has an open one."""
        ...

    def save(self, reset: PasswordReset) -> None:
        """Replace it if its version is unchanged."""
        ...

    def of_contract(self, contract: ContractId) -> tuple[PasswordReset, ...]:
        """Return a contract's resets, oldest first."""
        ...

    def open_of_pool(self, pool: PoolId) -> Mapping[ContractId, PasswordReset]:
        """Return a pool's open resets by contract, oldest first."""
        ...

    def due(self, now_ms: int, limit: int) -> tuple[PasswordReset, ...]:
        """Return open resets whose deadline has passed, most overdue first."""
        ...

    def shift_deadlines(self, gap_ms: int) -> int:
        """Move open deadlines by a gap in which the platform slept; returns how many moved."""
        ...

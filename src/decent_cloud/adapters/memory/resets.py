"""Password resets in dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.domain.contracts.password_reset import OPEN, PasswordReset
from decent_cloud.kernel.errors import AlreadyExists
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId


class MemoryResets:
    """Keeps the port `Resets`."""

    def __init__(self, journal: Journal) -> None:
        self._resets: Table[PasswordReset] = Table(journal)

    def get(self, reset: ResetId) -> PasswordReset | None:
        return self._resets.get(reset)

    def add(self, reset: PasswordReset) -> None:
        opened = (row.contract for row in self._resets if row.state in OPEN)
        if reset.state in OPEN and reset.contract in opened:
            raise AlreadyExists
        self._resets.add(reset, reset.id)

    def save(self, reset: PasswordReset) -> None:
        self._resets.save(reset, reset.id)

    def of_contract(self, contract: ContractId) -> tuple[PasswordReset, ...]:
        found = (row for row in self._resets if row.contract == contract)
        return tuple(sorted(found, key=_age))

    def open_of_pool(self, pool: PoolId) -> Mapping[ContractId, PasswordReset]:
        found = (row for row in self._resets if row.pool == pool and row.state in OPEN)
        return {row.contract: row for row in sorted(found, key=_age)}

    def due(self, now_ms: int, limit: int) -> tuple[PasswordReset, ...]:
        found = (row for row in self._resets if 0 < row.deadline_ms <= now_ms)
        return tuple(sorted(found, key=lambda row: (row.deadline_ms, row.id))[:limit])

    def shift_deadlines(self, gap_ms: int) -> int:
        waiting = [row for row in self._resets if row.deadline_ms > 0]
        for row in waiting:
            self._resets.save(replace(row, deadline_ms=row.deadline_ms + gap_ms), row.id)
        return len(waiting)


def _age(reset: PasswordReset) -> tuple[int, str]:
    return (reset.requested_at_ms, reset.id)

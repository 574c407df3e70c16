"""Resets of passwords and SSH keys in dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.domain.contracts.reset import OPEN, Reset, newest_list
from decent_cloud.kernel.errors import AlreadyExists
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId
from decent_cloud.kernel.status import ResetSubject


class MemoryResets:
    """Keeps the port `Resets`."""

    def __init__(self, journal: Journal) -> None:
        self._resets: Table[Reset] = Table(journal)

    def get(self, reset: ResetId) -> Reset | None:
        return self._resets.get(reset)

    def add(self, reset: Reset) -> None:
        opened = (row.contract for row in self._resets if row.state in OPEN)
        if reset.state in OPEN and reset.contract in opened:
            raise AlreadyExists
        newest = newest_list(self.of_contract(reset.contract))
        if reset.subject is ResetSubject.SSH_KEYS and newest and newest.n == reset.n:
            raise AlreadyExists
        self._resets.add(reset, reset.id)

    def save(self, reset: Reset) -> None:
        self._resets.save(reset, reset.id)

    def of_contract(self, contract: ContractId) -> tuple[Reset, ...]:
        found = (row for row in self._resets if row.contract == contract)
        return tuple(sorted(found, key=_age))

    def open_of_pool(self, pool: PoolId) -> Mapping[ContractId, Reset]:
        found = (row for row in self._resets if row.pool == pool and row.state in OPEN)
        return {row.contract: row for row in sorted(found, key=_age)}

    def key_lists(self, contracts: tuple[ContractId, ...]) -> Mapping[ContractId, Reset]:
        found = {each: newest_list(self.of_contract(each)) for each in contracts}
        return {contract: row for contract, row in found.items() if row is not None}

    def due(self, now_ms: int, limit: int) -> tuple[Reset, ...]:
        found = (row for row in self._resets if 0 < row.deadline_ms <= now_ms)
        return tuple(sorted(found, key=lambda row: (row.deadline_ms, row.id))[:limit])

    def shift_deadlines(self, gap_ms: int) -> int:
        waiting = [row for row in self._resets if row.deadline_ms > 0]
        for row in waiting:
            self._resets.save(replace(row, deadline_ms=row.deadline_ms + gap_ms), row.id)
        return len(waiting)


def _age(reset: Reset) -> tuple[int, str]:
    return (reset.requested_at_ms, reset.id)

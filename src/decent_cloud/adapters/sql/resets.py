"""Resets of passwords and SSH keys in SQL."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session, among
from decent_cloud.domain.contracts.reset import Reset
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId
from decent_cloud.kernel.status import ResetSubject

# The table is older than the resets of SSH keys in it.
_RESETS = Rows(Reset, "password_resets", ("id",))
_OPEN = "deadline_ms > 0"  # as long as a reset is open, it has a deadline


class SqlResets:
    """Keeps the port `Resets`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, reset: ResetId) -> Reset | None:
        return _RESETS.get(self._session, id=reset)

    def add(self, reset: Reset) -> None:
        _RESETS.add(self._session, reset)

    def save(self, reset: Reset) -> None:
        _RESETS.save(self._session, reset)

    def of_contract(self, contract: ContractId) -> tuple[Reset, ...]:
        tail = "WHERE contract = :c ORDER BY requested_at_ms, id"
        return _RESETS.all(self._session, tail, {"c": contract})

    def open_of_pool(self, pool: PoolId) -> Mapping[ContractId, Reset]:
        tail = f"WHERE pool = :p AND {_OPEN} ORDER BY requested_at_ms, id"
        return {row.contract: row for row in _RESETS.all(self._session, tail, {"p": pool})}

    def key_lists(self, contracts: tuple[ContractId, ...]) -> Mapping[ContractId, Reset]:
        if not contracts:
            return {}
        listed, params = among("contract", contracts)
        tail = f"WHERE subject = :s AND {listed} ORDER BY n"
        found = _RESETS.all(self._session, tail, {**params, "s": ResetSubject.SSH_KEYS.value})
        return {row.contract: row for row in found}

    def due(self, now_ms: int, limit: int) -> tuple[Reset, ...]:
        tail = f"WHERE {_OPEN} AND deadline_ms <= :now ORDER BY deadline_ms, id LIMIT :limit"
        return _RESETS.all(self._session, tail, {"now": now_ms, "limit": limit})

    def shift_deadlines(self, gap_ms: int) -> int:
        sql = (
            "UPDATE password_resets SET deadline_ms = deadline_ms + :gap, version = version + 1"
            f" WHERE {_OPEN}"
        )
        return self._session.run(sql, {"gap": gap_ms})

"""Password resets in SQL."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
from decent_cloud.domain.contracts.password_reset import PasswordReset
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId

_RESETS = Rows(PasswordReset, "password_resets", ("id",))
_OPEN = "deadline_ms > 0"  # as long as a reset is open, it has a deadline


class SqlResets:
    """Keeps the port `Resets`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, reset: ResetId) -> PasswordReset | None:
        return _RESETS.get(self._session, id=reset)

    def add(self, reset: PasswordReset) -> None:
        _RESETS.add(self._session, reset)

    def save(self, reset: PasswordReset) -> None:
        _RESETS.save(self._session, reset)

    def of_contract(self, contract: ContractId) -> tuple[PasswordReset, ...]:
        tail = "WHERE contract = :c ORDER BY requested_at_ms, id"
        return _RESETS.all(self._session, tail, {"c": contract})

    def open_of_pool(self, pool: PoolId) -> Mapping[ContractId, PasswordReset]:
        tail = f"WHERE pool = :p AND {_OPEN} ORDER BY requested_at_ms, id"
        return {row.contract: row for row in _RESETS.all(self._session, tail, {"p": pool})}

    def due(self, now_ms: int, limit: int) -> tuple[PasswordReset, ...]:
        tail = f"WHERE {_OPEN} AND deadline_ms <= :now ORDER BY deadline_ms, id LIMIT :limit"
        return _RESETS.all(self._session, tail, {"now": now_ms, "limit": limit})

    def shift_deadlines(self, gap_ms: int) -> int:
        sql = (
            "UPDATE password_resets SET deadline_ms = deadline_ms + :gap, version = version + 1"
            f" WHERE {_OPEN}"
        )
        return self._session.run(sql, {"gap": gap_ms})

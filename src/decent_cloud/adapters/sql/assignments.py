"""Assignments in SQL."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.kernel.ids import ContractId, PoolId

_ASSIGNMENTS = Rows(Assignment, "assignments", ("contract",))


class SqlAssignments:
    """Keeps the port `Assignments`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, contract: ContractId) -> Assignment | None:
        return _ASSIGNMENTS.get(self._session, contract=contract)

    def add(self, assignment: Assignment) -> None:
        _ASSIGNMENTS.add(self._session, assignment)

    def save(self, assignment: Assignment) -> None:
        _ASSIGNMENTS.save(self._session, assignment)

    def live(self, pool: PoolId) -> tuple[Assignment, ...]:
        tail = "WHERE pool = :p AND state <> 'ended' ORDER BY created_at_ms, contract"
        return _ASSIGNMENTS.all(self._session, tail, {"p": pool})

    def shift_leases(self, gap_ms: int, since_ms: int) -> int:
        sql = (
            "UPDATE assignments SET lease_expires_ms = lease_expires_ms + :gap,"
            " version = version + 1 WHERE lease_expires_ms > :since"
        )
        return self._session.run(sql, {"gap": gap_ms, "since": since_ms})

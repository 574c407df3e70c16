"""First scripts and their sealed logs in SQL."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows, same_or_conflict
from decent_cloud.adapters.sql.session import Session
from decent_cloud.domain.contracts.contract import SealedLog
from decent_cloud.domain.keys.first_scripts import ScriptText
from decent_cloud.kernel.ids import ContractId, Digest

_TEXTS = Rows(ScriptText, "first_scripts", ("sha256",))
_LOGS = Rows(SealedLog, "script_logs", ("contract", "n"))


class SqlFirstScripts:
    """Keeps the port `FirstScripts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, script: ScriptText) -> None:
        _TEXTS.add_unless_there(self._session, script)

    def text(self, sha256: Digest) -> str | None:
        found = _TEXTS.get(self._session, sha256=sha256)
        return found.text if found else None

    def log(self, contract: ContractId) -> SealedLog | None:
        tail = "WHERE contract = :c ORDER BY n DESC LIMIT 1"
        return _LOGS.one(self._session, tail, {"c": contract})

    def add_log(self, log: SealedLog) -> None:
        if _LOGS.add_unless_there(self._session, log):
            return
        stored = _LOGS.get(self._session, contract=log.contract, n=log.n)
        same_or_conflict(stored and stored.outer, log.outer)

"""First scripts and their sealed logs in dictionaries."""

from __future__ import annotations

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.domain.contracts.contract import SealedLog
from decent_cloud.domain.keys.first_scripts import ScriptText
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.ids import ContractId, Digest


class MemoryFirstScripts:
    """Keeps the port `FirstScripts`."""

    def __init__(self, journal: Journal) -> None:
        self._texts: Table[ScriptText] = Table(journal)
        self._logs: Table[SealedLog] = Table(journal)

    def keep(self, script: ScriptText) -> None:
        if self._texts.get(script.sha256) is None:
            self._texts.add(script, script.sha256)

    def text(self, sha256: Digest) -> str | None:
        found = self._texts.get(sha256)
        return found.text if found else None

    def log(self, contract: ContractId) -> SealedLog | None:
        found = (row for row in self._logs if row.contract == contract)
        return max(found, key=lambda row: row.n, default=None)

    def add_log(self, log: SealedLog) -> None:
        stored = self._logs.get(log.contract, log.n)
        if stored is None:
            self._logs.add(log, log.contract, log.n)
        elif stored.outer != log.outer:
            raise Conflict("something else is stored under this identity")

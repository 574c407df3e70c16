"""Where first scripts and their sealed logs are kept."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.contracts.contract import SealedLog
from decent_cloud.domain.keys.first_scripts import ScriptText
from decent_cloud.kernel.ids import ContractId, Digest


class FirstScripts(Protocol):
    """Texts by their hash, one log a contract."""

    def keep(self, script: ScriptText) -> None:
        """Store a text; one that is there stays."""
        ...

    def text(self, sha256: Digest) -> str | None:
        """Return the text with this hash."""
        ...

    def log(self, contract: ContractId) -> SealedLog | None:
        """Return the newest sealed log of a contract."""
        ...

    def add_log(self, log: SealedLog) -> None:
        """Store a sealed log; the same (contract, n) again replaces it only by equal bytes, else Conflict."""
        ...

"""The ICP ledger's log: blocks with account identifiers, older ones in archives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from decent_cloud.adapters.icp.agent import IcAgent
from decent_cloud.adapters.icp.errors import LogIncomplete
from decent_cloud.adapters.icp.interfaces import ICP_ARCHIVE, ICP_LEDGER
from decent_cloud.adapters.icp.logs import (
    Archives,
    Block,
    Page,
    as_page,
    optional,
    principal_bytes,
)
from decent_cloud.domain.payments.icrc1_transfer import LogEntry

_ARCHIVE_METHOD = "get_blocks"
_NOTHING: tuple[str, dict[str, Any]] = "", {}


class IcpLog:
    """Reads the ICP ledger's log."""

    def __init__(self, agent: IcAgent, canister: bytes) -> None:
        """Take the agent to ask with and the ledger's canister."""
        self._agent = agent
        self._canister = canister
        self._archives = Archives(self._listed)

    def begin(self, from_block: int, before_ns: int) -> int:
        """Return the block itself: numbers never change."""
        return from_block

    def page(self, start: int, length: int) -> Page:
        """Read up to `length` blocks from `start`. Errors: any TryLater, LogIncomplete, ReplyUnreadable."""
        method = ICP_LEDGER["query_blocks"]
        argument = method.encode({"start": start, "length": length})
        replied = self._agent.read(self._canister, method.name, argument)
        found = method.decode(replied.reply)
        blocks = dict(_blocks(found["blocks"], found["first_block_index"]))
        for archived in found["archived_blocks"]:
            blocks.update(self._archived(archived))
        return as_page(blocks, start, found["chain_length"], replied.not_before_ns)

    def _archived(self, archived: Mapping[str, Any]) -> Iterator[tuple[int, Block]]:
        method = ICP_ARCHIVE[_ARCHIVE_METHOD]
        archive = self._archives.canister(archived["callback"], _ARCHIVE_METHOD)
        argument = method.encode({"start": archived["start"], "length": archived["length"]})
        found = method.decode(self._agent.read(archive, method.name, argument).reply)
        if "Ok" not in found:
            raise LogIncomplete("the ledger's archive refuses", block=archived["start"])
        yield from _blocks(found["Ok"]["blocks"], archived["start"])

    def _listed(self) -> Iterator[bytes]:
        method = ICP_LEDGER["archives"]
        found = method.decode(self._agent.read(self._canister, method.name, method.encode()).reply)
        for archive in found["archives"]:
            yield principal_bytes(archive["canister_id"])


def _blocks(blocks: list[Any], first: int) -> Iterator[tuple[int, Block]]:
    for index, block in enumerate(blocks, first):
        at_ns = block["timestamp"]["timestamp_nanos"]
        yield index, Block(index, at_ns, _entry(index, at_ns, block["transaction"]))


def _entry(index: int, at_ns: int, transaction: Mapping[str, Any]) -> LogEntry | None:
    operation: dict[str, Any] = optional(transaction["operation"]) or {}
    kind, moved = next(iter(operation.items()), _NOTHING)
    if kind not in {"Transfer", "Mint", "Burn"}:
        return None
    return LogEntry(
        index=index,
        at_ns=at_ns,
        payer=moved.get("from"),
        payee=moved.get("to"),
        amount_minor=moved["amount"]["e8s"],
        fee_minor=moved["fee"]["e8s"] if "fee" in moved else None,
        memo=optional(transaction["icrc1_memo"]),
        created_at_ns=transaction["created_at_time"]["timestamp_nanos"],
    )

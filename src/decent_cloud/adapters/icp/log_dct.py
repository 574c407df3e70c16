"""The DCT ledger's log: transactions without memos, in two parts that number them differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decent_cloud.adapters.icp.agent import IcAgent
from decent_cloud.adapters.icp.errors import LogIncomplete
from decent_cloud.adapters.icp.interfaces import DCT_LEDGER
from decent_cloud.adapters.icp.logs import Block, Page, account_identifier, as_page, optional
from decent_cloud.domain.payments.icrc1_transfer import LogEntry


class DctLog:
    """Reads the DCT ledger's log.

    Its recent part goes by number, its older part by position, and a number is never below the position: approvals
    take numbers too. Reading on from a position therefore meets every transaction, some twice. Look for content.
    """

    def __init__(self, agent: IcAgent, canister: bytes) -> None:
        """Take the agent to ask with and the ledger's canister."""
        self._agent = agent
        self._canister = canister

    def begin(self, from_block: int, before_ns: int) -> int:
        """Go back until a transaction is older than that instant; 0 is the log's beginning."""
        start, back = from_block, 1
        while start > 0:
            entries = self._ask(start, 1)[0].values()
            if any(block.at_ns < before_ns for block in entries):
                return start
            start, back = max(0, start - back), back * 4
        return 0

    def page(self, start: int, length: int) -> Page:
        """Read up to `length` transactions from `start`. Errors: any TryLater, LogIncomplete, ReplyUnreadable."""
        blocks, log_length, as_of_ns = self._ask(start, length)
        if blocks or start >= log_length:
            return as_page(blocks, start, log_length, as_of_ns)
        first = self._first_recent(start, log_length)
        blocks, _, _ = self._ask(first, length)
        return as_page(blocks, first, log_length, as_of_ns)

    def _first_recent(self, empty: int, log_length: int) -> int:
        """Find the first number of the recent part, where the older part has ended at `empty`.

        From there to the recent part's first number every question is answered by nothing.
        """
        low, high = empty, log_length
        while high - low > 1:
            middle = (low + high) // 2
            if self._ask(middle, 1)[0]:
                high = middle
            else:
                low = middle
        return high

    def _ask(self, start: int, length: int) -> tuple[dict[int, Block], int, int]:
        method = DCT_LEDGER["get_transactions"]
        argument = method.encode({"start": start, "length": length})
        replied = self._agent.read(self._canister, method.name, argument)
        found = method.decode(replied.reply)
        if found["archived_transactions"]:
            raise LogIncomplete("this ledger is not known to have archives")
        blocks = {
            index: Block(index, transaction["timestamp"], _entry(index, transaction))
            for index, transaction in enumerate(found["transactions"], start)
        }
        return blocks, found["log_length"], replied.not_before_ns


def _entry(index: int, transaction: Mapping[str, Any]) -> LogEntry | None:
    moved = next(
        (kind[0] for name in ("transfer", "mint", "burn") if (kind := transaction[name])), None
    )
    if moved is None:
        return None
    return LogEntry(
        index=index,
        at_ns=transaction["timestamp"],
        payer=account_identifier(moved["from"]) if "from" in moved else None,
        payee=account_identifier(moved["to"]) if "to" in moved else None,
        amount_minor=moved["amount"],
        fee_minor=optional(moved["fee"]) if "fee" in moved else None,
        memo=optional(moved["memo"]),
        created_at_ns=optional(moved["created_at_time"]),
    )

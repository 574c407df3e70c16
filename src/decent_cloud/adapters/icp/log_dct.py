"""The DCT ledger's log: transactions without memos, whose numbers may be off by one between two parts of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from decent_cloud.adapters.icp.agent import IcAgent
from decent_cloud.adapters.icp.errors import LogIncomplete
from decent_cloud.adapters.icp.interfaces import DCT_LEDGER
from decent_cloud.adapters.icp.logs import Block, Page, account_identifier, as_page, optional
from decent_cloud.domain.payments.icrc1_transfer import LogEntry


class DctLog:
    """Reads the DCT ledger's log.

    Its recent part counts from 1 and its older part from 0, so a number means one of two neighbours: reading on
    from either meets each transaction once or twice, never none. Look for content, not for numbers.
    """

    def __init__(self, agent: IcAgent, canister: bytes) -> None:
        """Take the agent to ask with and the ledger's canister."""
        self._agent = agent
        self._canister = canister

    def page(self, start: int, length: int) -> Page:
        """Read up to `length` transactions from `start`. Errors: any TryLater, LogIncomplete, ReplyUnreadable."""
        method = DCT_LEDGER["get_transactions"]
        argument = method.encode({"start": start, "length": length})
        replied = self._agent.read(self._canister, method.name, argument)
        found = method.decode(replied.reply)
        if found["archived_transactions"]:
            raise LogIncomplete("this ledger is not known to have archives")
        first = found["first_index"]
        blocks = {
            index: Block(index, transaction["timestamp"], _entry(index, transaction))
            for index, transaction in enumerate(found["transactions"], first)
        }
        if not blocks and start == 0 < found["log_length"]:
            # The first transaction is number 1.
            return replace(self.page(1, length), as_of_ns=replied.not_before_ns)
        return as_page(blocks, start, found["log_length"], replied.not_before_ns)


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

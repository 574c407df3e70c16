"""Ledgers' logs: one page of certified entries at a time, in the three forms that ledgers write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from decent_cloud.adapters.icp.errors import LogIncomplete, ReplyUnreadable
from decent_cloud.domain.payments.icrc1_accounts import (
    NO_SUBACCOUNT,
    BadPayoutAccount,
    Icrc1Account,
    principal_text,
)
from decent_cloud.domain.payments.icrc1_transfer import LogEntry


@dataclass(frozen=True, slots=True)
class Page:
    """A gapless run of entries from `start`, with the log's length as of an instant of the subnet's time.

    `next_block` is where the following page starts. Approvals and the like move nothing and have no entry.
    """

    entries: tuple[LogEntry, ...]
    next_block: int
    newest_at_ns: int
    log_length: int
    as_of_ns: int


class LogReader(Protocol):
    """Reads one kind of log."""

    def begin(self, from_block: int, before_ns: int) -> int:
        """Return where to start so that everything from this block on, and since that instant, is met."""
        ...

    def page(self, start: int, length: int) -> Page:
        """Read up to `length` blocks from `start`. Errors: any TryLater; LogIncomplete where blocks are missing."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, time and movement, None if it moves nothing."""

    index: int
    at_ns: int
    entry: LogEntry | None


def as_page(blocks: Mapping[int, Block], start: int, log_length: int, as_of_ns: int) -> Page:
    """Take the blocks that follow `start` without a gap. Errors: LogIncomplete if there should be one and is none."""
    run: list[Block] = []
    while start + len(run) in blocks:
        run.append(blocks[start + len(run)])
    if not run and start < log_length:
        raise LogIncomplete("the log has no block where it should go on", block=start)
    return Page(
        entries=tuple(block.entry for block in run if block.entry),
        next_block=start + len(run),
        newest_at_ns=max((block.at_ns for block in run), default=0),
        log_length=log_length,
        as_of_ns=as_of_ns,
    )


class Archives:
    """The archive canisters that the ledger itself, certified, says are its own; no others are asked."""

    def __init__(self, listed: Callable[[], Iterable[bytes]]) -> None:
        """Take the way to ask the ledger for its archives."""
        self._listed = listed
        self._known: frozenset[bytes] = frozenset()

    def canister(self, callback: object, method: str) -> bytes:
        """Return the canister of a callback, which must name `method`.

        Errors: LogIncomplete for a canister the ledger does not list, ReplyUnreadable.
        """
        match callback:
            case [principal, str(named)] if named == method:
                canister = principal_bytes(principal)
            case _:
                raise ReplyUnreadable(f"an archive's callback is not {method}")
        if canister not in self._known:
            self._known = frozenset(self._listed())
        if canister not in self._known:
            raise LogIncomplete(
                "the log points to a canister that the ledger does not list as its archive",
                canister=principal_text(canister),
            )
        return canister


def principal_bytes(principal: object) -> bytes:
    """Take a decoded principal's bytes. Errors: ReplyUnreadable."""
    raw = getattr(principal, "bytes", None)
    if not isinstance(raw, bytes):
        raise ReplyUnreadable("an answer has another type where a principal is promised")
    return raw


def optional(value: list[Any]) -> Any:
    """Take what an option holds, None for nothing."""
    return value[0] if value else None


def account_identifier(account: Mapping[str, Any]) -> bytes:
    """Return the identifier of a decoded account. Errors: ReplyUnreadable."""
    subaccount = optional(account["subaccount"])
    try:
        owner = principal_bytes(account["owner"])
        return Icrc1Account(owner, subaccount or NO_SUBACCOUNT).identifier()
    except BadPayoutAccount as error:
        raise ReplyUnreadable("an account in the log is malformed") from error

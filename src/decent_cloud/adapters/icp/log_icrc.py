"""The log of ck tokens and SNS ledgers: ICRC-3 blocks, older ones in archives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from decent_cloud.adapters.icp.agent import IcAgent
from decent_cloud.adapters.icp.errors import ReplyUnreadable
from decent_cloud.adapters.icp.interfaces import ICRC_LEDGER
from decent_cloud.adapters.icp.logs import Archives, Block, Page, as_page, principal_bytes
from decent_cloud.domain.payments.icrc1_accounts import (
    NO_SUBACCOUNT,
    BadPayoutAccount,
    Icrc1Account,
)
from decent_cloud.domain.payments.icrc1_transfer import LogEntry

_METHOD = "icrc3_get_blocks"
_LISTS = 20
_MOVES = {"xfer": "xfer", "1xfer": "xfer", "2xfer": "xfer", "mint": "mint", "1mint": "mint"} | {
    "burn": "burn",
    "1burn": "burn",
}


class IcrcLog:
    """Reads ICRC-3 logs."""

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
        found, as_of_ns = self._ask(self._canister, [{"start": start, "length": length}])
        blocks = dict(_blocks(found))
        for archived in found["archived_blocks"]:
            archive = self._archives.canister(archived["callback"], _METHOD)
            blocks.update(_blocks(self._ask(archive, archived["args"])[0]))
        return as_page(blocks, start, found["log_length"], as_of_ns)

    def _ask(self, canister: bytes, ranges: list[Any]) -> tuple[Any, int]:
        method = ICRC_LEDGER[_METHOD]
        replied = self._agent.read(canister, _METHOD, method.encode(ranges))
        return method.decode(replied.reply), replied.not_before_ns

    def _listed(self) -> Iterator[bytes]:
        method = ICRC_LEDGER["icrc3_get_archives"]
        after: list[bytes] = []
        for _ in range(_LISTS):
            argument = method.encode({"from": after})
            found = method.decode(self._agent.read(self._canister, method.name, argument).reply)
            canisters = [principal_bytes(archive["canister_id"]) for archive in found]
            yield from canisters
            if not canisters or canisters[-1:] == after:
                return
            after = canisters[-1:]


def _blocks(found: Mapping[str, Any]) -> Iterator[tuple[int, Block]]:
    for numbered in found["blocks"]:
        index = numbered["id"]
        yield index, _block(index, _map(numbered["block"]))


def _block(index: int, block: dict[str, Any]) -> Block:
    at_ns = _nat(block, "ts")
    transaction = _map(block.get("tx"))
    kind = _MOVES.get(str(_text(transaction.get("op")) or _text(block.get("btype")) or ""))
    if kind is None or at_ns is None:
        return Block(index, at_ns or 0, None)
    amount = _nat(transaction, "amt")
    if amount is None:
        raise ReplyUnreadable("a movement in the log has no amount", block=index)
    fee = _nat(transaction, "fee")
    entry = LogEntry(
        index=index,
        at_ns=at_ns,
        payer=None if kind == "mint" else _account(transaction.get("from")),
        payee=None if kind == "burn" else _account(transaction.get("to")),
        amount_minor=amount,
        fee_minor=_nat(block, "fee") if fee is None else fee,
        memo=_of(transaction.get("memo"), "Blob", bytes),
        created_at_ns=_nat(transaction, "ts"),
    )
    return Block(index, at_ns, entry)


def _account(value: object) -> bytes:
    parts = [_of(part, "Blob", bytes) for part in _of(value, "Array", list) or []]
    match parts:
        case [bytes(owner)]:
            subaccount = NO_SUBACCOUNT
        case [bytes(owner), bytes(subaccount)]:
            pass
        case _:
            raise ReplyUnreadable("an account in the log is malformed")
    try:
        return Icrc1Account(owner, subaccount).identifier()
    except BadPayoutAccount as error:
        raise ReplyUnreadable("an account in the log is malformed") from error


def _map(value: object) -> dict[str, Any]:
    return dict(_of(value, "Map", list) or [])


def _nat(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    natural: int | None = _of(value, "Nat", int)
    whole: int | None = _of(value, "Int", int)
    return whole if natural is None else natural


def _text(value: object) -> str | None:
    text: str | None = _of(value, "Text", str)
    return text


def _of(value: object, kind: str, expected: type[Any]) -> Any:
    """Take a Value of one kind; None if it is absent or of another kind."""
    found = value.get(kind) if isinstance(value, dict) else None
    return found if isinstance(found, expected) else None

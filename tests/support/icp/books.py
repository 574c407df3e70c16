"""The ledgers as canisters: methods, logs in three forms, archives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from decent_cloud.adapters.icp.interfaces import ICP_ARCHIVE, ICRC_LEDGER
from decent_cloud.domain.payments.icrc1_accounts import Icrc1Account
from decent_cloud.domain.payments.token_ledgers import LedgerKind
from tests.support.icp.ledger import INTERFACES, MINTER, Ledger, Moved, subaccount
from tests.support.icp.replica import Rejection

ICP_BLOCK_LIMIT = 100
BLOCK_LIMIT = 2_000


@dataclass
class Archive:
    """A canister that holds the ledger's blocks `[start, end)`."""

    canister: bytes
    ledger: Ledger
    start: int
    end: int
    asked: int = 0

    def update(self, caller: bytes, method: str, argument: bytes, at_ns: int) -> bytes:
        self.asked += 1
        if self.ledger.kind is LedgerKind.ICRC and method == "icrc3_get_blocks":
            (ranges,) = ICRC_LEDGER[method].decode_arguments(argument)
            blocks = [b for r in ranges for b in icrc_blocks(self.ledger, r, self.start, self.end)]
            result = {
                "log_length": len(self.ledger.blocks),
                "blocks": blocks,
                "archived_blocks": [],
            }
            return ICRC_LEDGER[method].encode_result(result)
        if self.ledger.kind is LedgerKind.ICP and method == "get_blocks":
            (asked,) = ICP_ARCHIVE[method].decode_arguments(argument)
            if asked["start"] < self.start:
                error = {"requested_index": asked["start"], "first_valid_index": self.start}
                return ICP_ARCHIVE[method].encode_result({"Err": {"BadFirstBlockIndex": error}})
            first, last = _cut(asked, self.start, self.end)
            blocks = [icp_block(self.ledger, b) for b in self.ledger.blocks[first:last]]
            return ICP_ARCHIVE[method].encode_result({"Ok": {"blocks": blocks}})
        raise Rejection(3, f"no method {method}")


@dataclass
class LedgerCanister:
    """A ledger with its log. The DCT log serves its `recent` transactions by number, older ones by position."""

    ledger: Ledger
    archives: list[Archive] = field(default_factory=list)
    listed: list[bytes] | None = None
    recent: int = 10

    def archive(self, canister: bytes, blocks: int) -> Archive:
        """Move the oldest blocks that are not archived yet into a new archive."""
        start = self.archives[-1].end if self.archives else 0
        made = Archive(canister, self.ledger, start, start + blocks)
        self.archives.append(made)
        return made

    def update(self, caller: bytes, method: str, argument: bytes, at_ns: int) -> bytes:
        known = INTERFACES[self.ledger.kind].get(method)
        answer = self._answers().get(method)
        if known is None or answer is None:
            raise Rejection(3, f"no method {method}")
        if method == "icrc1_transfer":
            return known.encode_result(self.ledger.transfer(caller, argument, at_ns))
        values = known.decode_arguments(argument)
        return known.encode_result(answer(*values))

    def _answers(self) -> dict[str, Callable[..., Any]]:
        ledger = self.ledger
        both: dict[str, Callable[..., Any]] = {
            "icrc1_fee": lambda: ledger.fee,
            "icrc1_decimals": lambda: ledger.about.decimals,
            "icrc1_symbol": lambda: ledger.about.asset.value,
            "icrc1_minting_account": lambda: [{"owner": MINTER.owner, "subaccount": []}],
            "icrc1_balance_of": lambda account: ledger.holdings.get(
                Icrc1Account(account["owner"].bytes, subaccount(account["subaccount"])), 0
            ),
            "icrc1_transfer": ledger.transfer,
        }
        logs: dict[LedgerKind, dict[str, Callable[..., Any]]] = {
            LedgerKind.ICRC: {
                "icrc3_get_blocks": self._icrc3_blocks,
                "icrc3_get_archives": self._icrc3_archives,
            },
            LedgerKind.ICP: {
                "query_blocks": self._query_blocks,
                "archives": lambda: {"archives": [{"canister_id": c} for c in self._listed()]},
            },
            LedgerKind.DCT: {"get_transactions": self._transactions},
        }
        return both | logs[ledger.kind]

    def _listed(self) -> list[bytes]:
        return [a.canister for a in self.archives] if self.listed is None else self.listed

    def _kept(self) -> int:
        return self.archives[-1].end if self.archives else 0

    def _icrc3_archives(self, asked: Any) -> Any:
        after = asked["from"][0].bytes if asked["from"] else b""
        return [
            {"canister_id": canister, "start": 0, "end": 0}
            for canister in sorted(self._listed())
            if canister > after
        ]

    def _icrc3_blocks(self, ranges: Any) -> Any:
        size = len(self.ledger.blocks)
        blocks = [b for r in ranges for b in icrc_blocks(self.ledger, r, self._kept(), size)]
        archived = []
        for archive in self.archives:
            cuts = [_cut(asked, archive.start, archive.end) for asked in ranges]
            args = [{"start": a, "length": b - a} for a, b in cuts if a < b]
            if args:
                callback = (archive.canister, "icrc3_get_blocks")
                archived.append({"args": args, "callback": callback})
        return {"log_length": size, "blocks": blocks[:BLOCK_LIMIT], "archived_blocks": archived}

    def _query_blocks(self, asked: Any) -> Any:
        size = len(self.ledger.blocks)
        first, last = _cut(asked, self._kept(), size)
        archived = []
        for archive in self.archives:
            start, end = _cut(asked, archive.start, archive.end)
            if start < end:
                callback = (archive.canister, "get_blocks")
                archived.append({"start": start, "length": end - start, "callback": callback})
        shown = self.ledger.blocks[first:last][:ICP_BLOCK_LIMIT]
        return {
            "chain_length": size,
            "certificate": [],
            "blocks": [icp_block(self.ledger, block) for block in shown],
            "first_block_index": first,
            "archived_blocks": archived,
        }

    def _transactions(self, asked: Any) -> Any:
        size = len(self.ledger.blocks)
        start, length = asked["start"], asked["length"]
        older, shift = max(0, size - self.recent), self.ledger.first_number
        if start >= older + shift:
            shown = self.ledger.blocks[start - shift : start - shift + length]
        else:
            shown = self.ledger.blocks[:older][start : start + length]
        return {
            "log_length": size + shift,
            "first_index": start,
            "transactions": [dct_transaction(block) for block in shown],
            "archived_transactions": [],
        }


def icrc_blocks(ledger: Ledger, asked: Any, start: int, end: int) -> list[Any]:
    first, last = _cut(asked, start, end)
    return [
        {"id": index, "block": icrc_block(ledger, ledger.blocks[index])}
        for index in range(first, last)
    ]


def icrc_block(ledger: Ledger, block: Moved) -> Any:
    kind = "mint" if block.payer is None else "burn" if block.payee is None else "xfer"
    kind = "approve" if block.approval else kind
    tx: list[Any] = [("op", {"Text": kind}), ("amt", {"Nat": block.amount})]
    tx += [("from", _account(block.payer))] if block.payer else []
    tx += [("to", _account(block.payee))] if block.payee else []
    tx += [("fee", {"Nat": block.fee})] if block.fee is not None else []
    tx += [("memo", {"Blob": block.memo})] if block.memo is not None else []
    tx += [("ts", {"Nat": block.created_ns})] if block.created_ns is not None else []
    outer: list[Any] = [("ts", {"Nat": block.at_ns}), ("tx", {"Map": tx})]
    if block.fee is None and kind == "xfer":
        outer.append(("fee", {"Nat": ledger.fee}))
    return {"Map": outer}


def icp_block(ledger: Ledger, block: Moved) -> Any:
    amount = {"e8s": block.amount}
    payer = block.payer.identifier() if block.payer else b""
    payee = block.payee.identifier() if block.payee else b""
    if block.approval:
        operation: Any = {"Approve": _approval(payer, amount)}
    elif not block.payer:
        operation = {"Mint": {"to": payee, "amount": amount}}
    elif not block.payee:
        operation = {"Burn": {"from": payer, "spender": [], "amount": amount}}
    else:
        fee = {"e8s": ledger.fee if block.fee is None else block.fee}
        moved = {"from": payer, "to": payee, "amount": amount, "fee": fee, "spender": []}
        operation = {"Transfer": moved}
    created = block.at_ns if block.created_ns is None else block.created_ns
    return {
        "parent_hash": [],
        "transaction": {
            "memo": 0,
            "icrc1_memo": [] if block.memo is None else [block.memo],
            "operation": [operation],
            "created_at_time": {"timestamp_nanos": created},
        },
        "timestamp": {"timestamp_nanos": block.at_ns},
    }


def dct_transaction(block: Moved) -> Any:
    payer = {"owner": block.payer.owner, "subaccount": _sub(block.payer)} if block.payer else None
    payee = {"owner": block.payee.owner, "subaccount": _sub(block.payee)} if block.payee else None
    rest = {
        "amount": block.amount,
        "memo": [],
        "created_at_time": [] if block.created_ns is None else [block.created_ns],
    }
    found: dict[str, Any] = {"timestamp": block.at_ns, "burn": [], "mint": [], "transfer": []}
    if payer is None:
        return found | {"kind": "mint", "mint": [{"to": payee, **rest}]}
    if payee is None:
        return found | {"kind": "burn", "burn": [{"from": payer, "spender": [], **rest}]}
    fee = [] if block.fee is None else [block.fee]
    moved = {"from": payer, "to": payee, "fee": fee, "spender": [], **rest}
    return found | {"kind": "transfer", "transfer": [moved]}


def _approval(owner: bytes, amount: Any) -> Any:
    return {
        "from": owner,
        "spender": owner,
        "allowance_e8s": amount["e8s"],
        "allowance": amount,
        "fee": amount,
        "expires_at": [],
        "expected_allowance": [],
    }


def _account(account: Icrc1Account) -> Any:
    return {"Array": [{"Blob": part} for part in (account.owner, *_sub(account))]}


def _sub(account: Icrc1Account) -> list[bytes]:
    return [account.subaccount] if any(account.subaccount) else []


def _cut(asked: Any, start: int, end: int) -> tuple[int, int]:
    """Return what of an asked range lies in `[start, end)`."""
    first = max(asked["start"], start)
    return first, max(first, min(asked["start"] + asked["length"], end))

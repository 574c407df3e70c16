"""Ledgers of the three kinds: who holds what, what is refused in which order, what counts as the same again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decent_cloud.adapters.icp.candid import Method
from decent_cloud.adapters.icp.errors import ReplyUnreadable
from decent_cloud.adapters.icp.interfaces import DCT_LEDGER, ICP_LEDGER, ICRC_LEDGER
from decent_cloud.domain.payments.icrc1_accounts import NO_SUBACCOUNT, Icrc1Account
from decent_cloud.domain.payments.token_ledgers import LedgerKind, TokenLedger
from tests.support.icp.replica import Rejection

SECOND_NS = 1_000_000_000
DAY_NS = 24 * 3_600 * SECOND_NS
MINTER = Icrc1Account(b"\x00\x00\x00\x00\x00\x00\x00\x07\x01\x01")
INTERFACES: Mapping[LedgerKind, Mapping[str, Method]] = {
    LedgerKind.ICRC: ICRC_LEDGER,
    LedgerKind.ICP: ICP_LEDGER,
    LedgerKind.DCT: DCT_LEDGER,
}
Args = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moved:
    """One block: payer or payee is None where tokens are minted or burnt."""

    at_ns: int
    payer: Icrc1Account | None
    payee: Icrc1Account | None
    amount: int
    fee: int | None = None
    memo: bytes | None = None
    created_ns: int | None = None
    approval: bool = False


@dataclass
class Ledger:
    """State and rules; what its log looks like is in books.py. `update` is the canister's entry."""

    about: TokenLedger
    fee: int = 10_000
    longest_memo: int = 32
    blocks: list[Moved] = field(default_factory=list)
    holdings: dict[Icrc1Account, int] = field(default_factory=dict)
    known: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    busy: bool = False
    drift: int = 0

    @property
    def kind(self) -> LedgerKind:
        return self.about.kind

    @property
    def first_number(self) -> int:
        """The DCT ledger counts from 1, and approvals take numbers too."""
        return 1 + self.drift if self.kind is LedgerKind.DCT else 0

    def mint(self, payee: Icrc1Account, amount: int, at_ns: int) -> None:
        self.holdings[payee] = self.holdings.get(payee, 0) + amount
        self.blocks.append(Moved(at_ns, None, payee, amount))

    def approve(self, owner: Icrc1Account, at_ns: int) -> None:
        """Let someone allow a spender something: a block that moves nothing; the DCT log does not show it."""
        if self.kind is not LedgerKind.DCT:
            self.blocks.append(Moved(at_ns, owner, owner, 77, approval=True))

    def upgrade(self) -> None:
        """Install a new version: what the DCT ledger remembers is on its heap."""
        if self.kind is LedgerKind.DCT:
            self.known.clear()

    def transfer(self, caller: bytes, argument: bytes, at_ns: int) -> Any:
        """Run icrc1_transfer; returns the variant to answer with."""
        args = self._decoded(argument)
        payer = Icrc1Account(caller, subaccount(args["from_subaccount"]))
        payee = Icrc1Account(bytes(args["to"]["owner"].bytes), subaccount(args["to"]["subaccount"]))
        if self.busy:
            return refused("TemporarilyUnavailable", None)
        if args["memo"] and len(args["memo"][0]) > self.longest_memo:
            raise Rejection(5, "the memo is too long")
        key = self._key(payer, payee, args, argument, at_ns)
        order = self._dct if self.kind is LedgerKind.DCT else self._dfinity
        refusal = order(payer, payee, args, key, at_ns)
        return refusal or {"Ok": self._book(payer, payee, args, key, at_ns)}

    def _dfinity(
        self, payer: Icrc1Account, payee: Icrc1Account, args: Args, key: bytes, at_ns: int
    ) -> Any:
        """Fee, time, known already, funds: an emptied wallet does not hide a paid transfer, a new fee does."""
        return (
            self._bad_fee(payee, args)
            or self._bad_time(args, at_ns, DAY_NS, 60 * SECOND_NS)
            or self._duplicate(args, key)
            or self._poor(payer, args["amount"] + self._charge(payee))
        )

    def _dct(
        self, payer: Icrc1Account, payee: Icrc1Account, args: Args, key: bytes, at_ns: int
    ) -> Any:
        """Time, funds, fee, known already, funds with fee."""
        self.known = {k: v for k, v in self.known.items() if v[1] > at_ns - DAY_NS}
        window = DAY_NS + 120 * SECOND_NS
        return (
            self._bad_time(args, at_ns, window, 120 * SECOND_NS)
            or self._poor(payer, args["amount"])
            or self._bad_fee(payee, args)
            or self._duplicate(args, key)
            or self._poor(payer, args["amount"] + self._charge(payee))
        )

    def _book(
        self, payer: Icrc1Account, payee: Icrc1Account, args: Args, key: bytes, at_ns: int
    ) -> int:
        self.holdings[payer] -= args["amount"] + self._charge(payee)
        if payee != MINTER:
            self.holdings[payee] = self.holdings.get(payee, 0) + args["amount"]
        number = len(self.blocks) + self.first_number
        created = args["created_at_time"]
        if created:
            self.known[key] = (number, created[0])
        given = args["fee"][0] if args["fee"] else None
        memo = args["memo"][0] if args["memo"] else None
        to = None if payee == MINTER else payee
        keeps = created[0] if created else (at_ns if self.kind is LedgerKind.DCT else None)
        self.blocks.append(Moved(at_ns, payer, to, args["amount"], given, memo, keeps))
        return number

    def _charge(self, payee: Icrc1Account) -> int:
        return 0 if payee == MINTER else self.fee

    def _bad_fee(self, payee: Icrc1Account, args: Args) -> Any:
        if payee == MINTER and args["amount"] < self.fee:
            return refused("BadBurn", {"min_burn_amount": self.fee})
        if args["fee"] and args["fee"][0] != self._charge(payee):
            return refused("BadFee", {"expected_fee": self._charge(payee)})
        return None

    @staticmethod
    def _bad_time(args: Args, at_ns: int, window_ns: int, ahead_ns: int) -> Any:
        if not args["created_at_time"]:
            return None
        created = args["created_at_time"][0]
        if created + window_ns < at_ns:
            return refused("TooOld", None)
        if created > at_ns + ahead_ns:
            return refused("CreatedInFuture", {"ledger_time": at_ns})
        return None

    def _duplicate(self, args: Args, key: bytes) -> Any:
        if args["created_at_time"] and key in self.known:
            return refused("Duplicate", {"duplicate_of": self.known[key][0]})
        return None

    def _poor(self, payer: Icrc1Account, needed: int) -> Any:
        balance = self.holdings.get(payer, 0)
        return refused("InsufficientFunds", {"balance": balance}) if balance < needed else None

    def _key(
        self, payer: Icrc1Account, payee: Icrc1Account, args: Args, argument: bytes, at_ns: int
    ) -> bytes:
        """What makes two transfers the same: the arguments as given, or what they mean."""
        if self.kind is LedgerKind.ICRC:
            return hashlib.sha256(payer.owner + argument).digest()
        fee = args["fee"][0] if args["fee"] else self._charge(payee)
        created = args["created_at_time"][0] if args["created_at_time"] else at_ns
        memo = args["memo"][0] if args["memo"] else b""
        meant = (payer, payee, args["amount"], fee, memo, created)
        return hashlib.sha256(repr(meant).encode()).digest()

    def _decoded(self, argument: bytes) -> Args:
        try:
            (args,) = INTERFACES[self.kind]["icrc1_transfer"].decode_arguments(argument)
        except ReplyUnreadable as error:
            raise Rejection(5, "the arguments cannot be decoded") from error
        return dict(args)


def subaccount(given: list[bytes]) -> bytes:
    """Read a subaccount; another length than 32 cannot be decoded."""
    if given and len(given[0]) != len(NO_SUBACCOUNT):
        raise Rejection(5, "a subaccount has 32 bytes")
    return given[0] if given else NO_SUBACCOUNT


def refused(kind: str, said: object) -> dict[str, Any]:
    return {"Err": {kind: said}}

"""Our wallet on one ICRC-1 ledger: transfers with typed outcomes, certified reads, the search in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decent_cloud.adapters.icp.agent import IcAgent
from decent_cloud.adapters.icp.answers import Lost, Rejected, Replied, Unverifiable
from decent_cloud.adapters.icp.candid import Method
from decent_cloud.adapters.icp.envelopes import stored_call
from decent_cloud.adapters.icp.errors import LogIncomplete, ReplyUnreadable
from decent_cloud.adapters.icp.interfaces import DCT_LEDGER, ICP_LEDGER, ICRC_LEDGER
from decent_cloud.adapters.icp.log_dct import DctLog
from decent_cloud.adapters.icp.log_icp import IcpLog
from decent_cloud.adapters.icp.log_icrc import IcrcLog
from decent_cloud.adapters.icp.logs import LogReader, Page, optional, principal_bytes
from decent_cloud.domain.payments.icrc1_accounts import NO_SUBACCOUNT, Icrc1Account
from decent_cloud.domain.payments.icrc1_transfer import (
    MS_NS,
    Attempt,
    LogEntry,
    Outcome,
    OutcomeKind,
    Scan,
    TransferTerms,
    is_ours,
)
from decent_cloud.domain.payments.token_ledgers import LedgerKind, TokenLedger
from decent_cloud.kernel.clock import MINUTE_MS

K = OutcomeKind
PAGE = 500
# Past every log's end: the answer is the length alone.
_FAR = 1 << 48
# No ledger takes a transfer this long before its creation time.
_EARLIER_NS = 5 * MINUTE_MS * MS_NS

_INTERFACES = {
    LedgerKind.ICRC: ICRC_LEDGER,
    LedgerKind.ICP: ICP_LEDGER,
    LedgerKind.DCT: DCT_LEDGER,
}
_LOGS: dict[LedgerKind, type[IcrcLog | IcpLog | DctLog]] = {
    LedgerKind.ICRC: IcrcLog,
    LedgerKind.ICP: IcpLog,
    LedgerKind.DCT: DctLog,
}
_REFUSALS = {
    "BadFee": (K.BAD_FEE, "expected_fee"),
    "BadBurn": (K.BAD_BURN, "min_burn_amount"),
    "InsufficientFunds": (K.INSUFFICIENT_FUNDS, "balance"),
    "TooOld": (K.TOO_OLD, ""),
    "CreatedInFuture": (K.CREATED_IN_FUTURE, ""),
    "TemporarilyUnavailable": (K.TEMPORARILY_UNAVAILABLE, ""),
}


class Icrc1Rail:
    """Our account on one ledger, by way of one agent; the agent's signer owns the account."""

    def __init__(
        self, agent: IcAgent, ledger: TokenLedger, subaccount: bytes = NO_SUBACCOUNT
    ) -> None:
        """Take the agent, the ledger, and which of our subaccounts is the wallet."""
        self._agent = agent
        self._methods: Mapping[str, Method] = _INTERFACES[ledger.kind]
        self._log: LogReader = _LOGS[ledger.kind](agent, ledger.canister)
        self.ledger = ledger
        self.wallet = Icrc1Account(agent.principal, subaccount)

    def fee_minor(self) -> int:
        """Return what the ledger takes for a transfer now. Errors: any TryLater."""
        return self._number("icrc1_fee")

    def decimals(self) -> int:
        """Return how many decimal places the ledger says one token has. Errors: any TryLater."""
        return self._number("icrc1_decimals")

    def balance_minor(self) -> int:
        """Return what our wallet holds. Errors: any TryLater."""
        return self._number("icrc1_balance_of", _account(self.wallet))

    def minting_account(self) -> Icrc1Account | None:
        """Return the account whose tokens do not exist; a transfer there burns. Errors: any TryLater."""
        found = optional(self._read("icrc1_minting_account"))
        if found is None:
            return None
        subaccount = optional(found["subaccount"]) or NO_SUBACCOUNT
        return Icrc1Account(principal_bytes(found["owner"]), subaccount)

    def argument(self, terms: TransferTerms) -> bytes:
        """Encode a transfer: once, before it is first sent.

        Subaccount, fee, memo and creation time are always given: some ledgers tell null from a default.
        """
        return self._methods["icrc1_transfer"].encode(
            {
                "from_subaccount": [terms.payer.subaccount],
                "to": _account(terms.payee),
                "amount": terms.amount_minor,
                "fee": [terms.fee_minor],
                "memo": [terms.memo],
                "created_at_time": [terms.created_at_ns],
            }
        )

    def attempt(self, argument: bytes, number: int, nonce: bytes, now_ms: int) -> Attempt:
        """Put stored argument bytes into a new envelope, unsent; store the attempt before sending it."""
        call = self._agent.prepare(
            self.ledger.canister, "icrc1_transfer", argument, now_ms=now_ms, nonce=nonce
        )
        return Attempt(number, call.request_id, call.envelope, call.expires_at_ns)

    def send(self, attempt: Attempt) -> Outcome:
        """Send a stored attempt's envelope, byte for byte, and return what came of it."""
        call = stored_call(self.ledger.canister, attempt.request_id, attempt.envelope)
        match self._agent.submit(call):
            case Replied(reply):
                return self._outcome(reply)
            case Rejected(code, message, certified=True):
                return Outcome(K.REJECTED, detail=f"reject {code}: {message}")
            case Rejected(code, message):
                # One node's word; another may run the call all the same.
                return Outcome(K.LOST, detail=f"one node's reject {code}: {message}")
            case Unverifiable(reason):
                return Outcome(K.UNVERIFIABLE, detail=reason)
            case Lost(reason):
                return Outcome(K.LOST, detail=reason)

    def log_length(self) -> int:
        """Return how many blocks the log has. Errors: any TryLater."""
        return self._log.page(_FAR, 1).log_length

    def scan(self, terms: TransferTerms, from_block: int, now_ms: int) -> Scan:
        """Look for a transfer in the log, from a block to the end it has when the scan begins. Errors: any TryLater."""
        start = self._log.begin(from_block, terms.created_at_ns - _EARLIER_NS)
        page = self._log.page(start, PAGE)
        first, newest_at_ns = page, page.newest_at_ns
        found = self._found(page, terms)
        while found is None and page.next_block < first.log_length:
            page = self._next(page)
            newest_at_ns = max(newest_at_ns, page.newest_at_ns)
            found = self._found(page, terms)
        return Scan(
            as_of_ns=first.as_of_ns,
            taken_at_ms=now_ms,
            log_length=first.log_length,
            newest_at_ns=newest_at_ns,
            found=found,
        )

    def entries(self, from_block: int, length: int) -> tuple[LogEntry, ...]:
        """Return the log's movements with these block numbers, archives included; fewer at its end."""
        page = self._log.page(from_block, min(length, PAGE))
        found = list(page.entries)
        while page.next_block < min(from_block + length, page.log_length):
            page = self._next(page, min(PAGE, from_block + length - page.next_block))
            found += page.entries
        return tuple(found)

    def find(self, terms: TransferTerms, block: int) -> bool:
        """Tell whether the transfer stands in this block, as it must once it is paid. Errors: any TryLater."""
        if any(is_ours(entry, terms, self.ledger) for entry in self.entries(block, 1)):
            return True
        # Where numbers change their meaning, the creation time still names it uniquely.
        return not self.ledger.kind.remembers and self.scan(terms, block, 0).found is not None

    def _next(self, page: Page, length: int = PAGE) -> Page:
        following = self._log.page(page.next_block, length)
        if following.next_block <= page.next_block:
            raise LogIncomplete("the log ends before its own length", block=page.next_block)
        return following

    def _found(self, page: Page, terms: TransferTerms) -> int | None:
        ours = (e.index for e in page.entries if is_ours(e, terms, self.ledger))
        return next(ours, None)

    def _outcome(self, reply: bytes) -> Outcome:
        try:
            result = self._methods["icrc1_transfer"].decode(reply)
            return _ok(result["Ok"]) if "Ok" in result else _refusal(result["Err"])
        except (ReplyUnreadable, KeyError) as error:
            return Outcome(K.UNVERIFIABLE, detail=str(error))

    def _number(self, method: str, *values: object) -> int:
        return int(self._read(method, *values))

    def _read(self, name: str, *values: object) -> Any:
        method = self._methods[name]
        replied = self._agent.read(self.ledger.canister, name, method.encode(*values))
        return method.decode(replied.reply)


def _ok(block: int) -> Outcome:
    return Outcome(K.OK, block=block)


def _refusal(error: Mapping[str, Any]) -> Outcome:
    kind, said = next(iter(error.items()))
    if kind == "Duplicate":
        return Outcome(K.DUPLICATE, block=said["duplicate_of"])
    if kind in _REFUSALS:
        outcome, amount = _REFUSALS[kind]
        detail = f"ledger time {said['ledger_time']}" if kind == "CreatedInFuture" else ""
        return Outcome(outcome, amount_minor=said[amount] if amount else None, detail=detail)
    return Outcome(K.GENERIC_ERROR, detail=f"{said['error_code']}: {said['message']}"[:500])


def _account(account: Icrc1Account) -> dict[str, object]:
    # No subaccount and 32 zero bytes are one account, but some ledgers tell the two ways of writing it apart.
    return {"owner": account.owner, "subaccount": [account.subaccount]}

"""One ICRC-1 transfer of ours: what was fixed before it was first sent, each attempt, each look at the log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from decent_cloud.domain.payments.icrc1_accounts import Icrc1Account
from decent_cloud.domain.payments.token_ledgers import TokenLedger

MEMO_TAG = b"dcp1"
MEMO_BYTES = 32
MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class TransferTerms:
    """The transfer itself. Every retry uses these very values: the ledger knows a retry by nothing else."""

    payer: Icrc1Account
    payee: Icrc1Account
    amount_minor: int
    fee_minor: int
    memo: bytes
    created_at_ns: int


def payout_memo(payout: str) -> bytes:
    """Return the memo that marks a payout in the log: 4 bytes of tag, 28 of the hash of its id."""
    return MEMO_TAG + hashlib.sha256(payout.encode()).digest()[: MEMO_BYTES - len(MEMO_TAG)]


def next_created_at_ns(now_ms: int, newest_ns: int) -> int:
    """Return a creation time that no transfer of this wallet has: now, or just after the `newest_ns` there is."""
    return max(now_ms * MS_NS, newest_ns + 1)


class OutcomeKind(StrEnum):
    """What an attempt came to. All up to `generic_error` are the ledger's certified word, `rejected` the subnet's."""

    OK = "ok"
    DUPLICATE = "duplicate"
    BAD_FEE = "bad_fee"
    BAD_BURN = "bad_burn"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    TOO_OLD = "too_old"
    CREATED_IN_FUTURE = "created_in_future"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    GENERIC_ERROR = "generic_error"
    REJECTED = "rejected"
    UNVERIFIABLE = "unverifiable"
    LOST = "lost"


PAID = frozenset({OutcomeKind.OK, OutcomeKind.DUPLICATE})
# The same bytes cannot succeed later; proof of no transfer only as the first answer ever.
REFUSALS = frozenset(
    {
        OutcomeKind.BAD_FEE,
        OutcomeKind.BAD_BURN,
        OutcomeKind.INSUFFICIENT_FUNDS,
        OutcomeKind.TOO_OLD,
    }
)
# The request itself may still run, or has run unseen: sending its very bytes again asks for the same answer.
UNANSWERED = frozenset({OutcomeKind.LOST, OutcomeKind.UNVERIFIABLE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt's result. `block` with ok and duplicate; `amount_minor` is the fee or balance the ledger named."""

    kind: OutcomeKind
    block: int | None = None
    amount_minor: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One envelope around the fixed bytes; stored before it is first sent, `sends` counted before each sending.

    A later answer to the same envelope replaces the outcome: a request runs at most once.
    """

    number: int
    request_id: bytes
    envelope: bytes = field(repr=False)
    expires_at_ns: int
    sends: int = 0
    sent_at_ms: int = 0
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A movement in a ledger's log; accounts as 32-byte identifiers, None where tokens were minted or burnt.

    `memo` and `fee_minor` are None where the log does not say; the fee also where the payer left it open.
    """

    index: int
    at_ns: int
    payer: bytes | None
    payee: bytes | None
    amount_minor: int
    fee_minor: int | None = None
    memo: bytes | None = None
    created_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """One complete look at a log, from the asked block to its end as of `as_of_ns` (the subnet's time).

    `newest_at_ns` is the newest block's time, 0 if none was seen. `found` is the transfer's block.
    """

    as_of_ns: int
    taken_at_ms: int
    log_length: int
    newest_at_ns: int
    found: int | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """All that is known of one transfer: its creation time, its attempts in order, its scans in order.

    Only the last two scans matter; `first_block` was the log's length before the first sending.
    """

    ledger: TokenLedger
    created_at_ns: int
    first_block: int
    attempts: tuple[Attempt, ...] = ()
    scans: tuple[Scan, ...] = ()


def is_ours(entry: LogEntry, terms: TransferTerms, ledger: TokenLedger) -> bool:
    """Tell whether a block is this very transfer; the creation time is unique to it in this wallet."""
    return (
        entry.created_at_ns == terms.created_at_ns
        and entry.payer == terms.payer.identifier()
        and entry.payee == terms.payee.identifier()
        and entry.amount_minor == terms.amount_minor
        and (entry.memo == terms.memo or (entry.memo is None and not ledger.kind.shows_memo))
    )

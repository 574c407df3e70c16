"""Where tokens are paid out: a ledger on the Internet Computer whose word is certified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from decent_cloud.domain.payments.icrc1_accounts import Icrc1Account
from decent_cloud.domain.payments.icrc1_transfer import (
    Attempt,
    LogEntry,
    Outcome,
    Scan,
    TransferTerms,
)
from decent_cloud.domain.payments.token_ledgers import TokenLedger


class TokenRail(Protocol):
    """One ledger and our wallet on it. Plain and blocking: call it in a thread, never inside a unit of work.

    Every read is certified. Whatever is asked may raise a TryLater; `send` alone never does.
    """

    @property
    def ledger(self) -> TokenLedger:
        """Return which ledger this is."""
        ...

    @property
    def wallet(self) -> Icrc1Account:
        """Return our account on it."""
        ...

    def fee_minor(self) -> int:
        """Return what the ledger takes for a transfer now."""
        ...

    def decimals(self) -> int:
        """Return how many decimal places the ledger says one token has: it must be ours."""
        ...

    def minting_account(self) -> Icrc1Account | None:
        """Return the account whose tokens do not exist: never a payee."""
        ...

    def balance_minor(self) -> int:
        """Return what our wallet holds."""
        ...

    def log_length(self) -> int:
        """Return how many blocks the log has: read it before the first sending of a transfer."""
        ...

    def argument(self, terms: TransferTerms) -> bytes:
        """Encode a transfer: once, before it is first sent. Every attempt carries these bytes."""
        ...

    def attempt(self, argument: bytes, number: int, nonce: bytes, now_ms: int) -> Attempt:
        """Put stored argument bytes into a new envelope, unsent; store the attempt before sending it."""
        ...

    def send(self, attempt: Attempt) -> Outcome:
        """Send a stored attempt's envelope, byte for byte, and return what came of it."""
        ...

    def scan(self, terms: TransferTerms, from_block: int, now_ms: int) -> Scan:
        """Look for a transfer in the log, from a block to its end, archives included."""
        ...

    def entries(self, from_block: int, length: int) -> Sequence[LogEntry]:
        """Return the log's movements with these block numbers, archives included; fewer at its end."""
        ...

    def find(self, terms: TransferTerms, block: int) -> bool:
        """Tell whether the transfer stands in this block, as it must once it is paid."""
        ...

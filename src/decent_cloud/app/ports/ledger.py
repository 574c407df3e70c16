"""Where the books are kept: insert-only transfers and their balances, in one transaction."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.domain.ledger.transfers import Balance, LedgerAccount, Transfer, TrialLine


class Ledger(Protocol):
    """The double-entry ledger."""

    def post(self, transfers: tuple[Transfer, ...]) -> None:
        """Book a group whole; accounts appear when first used.

        Errors: AlreadyExists (a transfer id was booked before), Overdrawn (a floored account would
        go below 0).
        """
        ...

    def balance(self, account: LedgerAccount) -> int:
        """Return the balance in the account's own direction, 0 if it was never used."""
        ...

    def balances(self, owner: str) -> tuple[Balance, ...]:
        """Return the balances of all accounts named `<kind>/<owner>`, or of every account if owner
        is empty.
        """
        ...

    def transfers(self, reference: str) -> tuple[Transfer, ...]:
        """Return what was booked under a reference, in booking order."""
        ...

    def trial_balance(self) -> tuple[TrialLine, ...]:
        """Sum all debit and all credit balances per asset; the two sums of each line are equal."""
        ...

    def differences(self) -> tuple[Balance, ...]:
        """Rebuild every balance from its transfers; return those whose stored balance differs
        (none).
        """
        ...

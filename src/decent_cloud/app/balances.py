"""What the ledger holds in someone's name, and its proof as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.app.caller import Caller, require_admin, require_reader
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.ledger.transfers import Balance, TrialLine


@dataclass(frozen=True, slots=True)
class Trial:
    """Debits and credits per asset, every account, and whether balances equal their transfers."""

    lines: tuple[TrialLine, ...]
    accounts: tuple[Balance, ...]
    rebuilt: bool


def mine(uow: UnitOfWork, caller: Caller) -> tuple[Balance, ...]:
    """Return the caller's balances: credit, prepaid, owed, and payable where it provides.

    Errors: DeviceOnly.
    """
    return uow.ledger.balances(require_reader(caller))


def trial_balance(uow: UnitOfWork, caller: Caller) -> Trial:
    """Prove the books; admins only. Errors: as require_admin."""
    require_admin(caller)
    return Trial(
        lines=uow.ledger.trial_balance(),
        accounts=uow.ledger.balances(""),
        rebuilt=not uow.ledger.differences(),
    )

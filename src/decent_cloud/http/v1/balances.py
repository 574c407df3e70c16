"""What the ledger holds in the caller's name, and its proof as a whole."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency

from decent_cloud.app import balances
from decent_cloud.app.balances import Trial
from decent_cloud.domain.ledger.transfers import Balance, TrialLine
from decent_cloud.http.call import Call
from decent_cloud.wire.v1.accounts import (
    BalancesView,
    BalanceView,
    TrialBalanceLine,
    TrialBalanceView,
)
from decent_cloud.wire.v1.money import Amount


@get("/accounts/me/balances", summary="Balances")
async def read_balances(call: NamedDependency[Call]) -> BalancesView:
    """Return what is held, owed and payable in the caller's name."""
    found = await call.read(lambda uow: balances.mine(uow, call.caller))
    return BalancesView(balances=tuple(balance_view(one) for one in found))


@get("/admin/trial-balance", summary="Trial balance")
async def read_trial_balance(call: NamedDependency[Call]) -> TrialBalanceView:
    """Prove the books: per asset debits equal credits, and balances equal their transfers."""
    return trial_view(await call.read(lambda uow: balances.trial_balance(uow, call.caller)))


def balance_view(found: Balance) -> BalanceView:
    """Render one ledger account."""
    amount = Amount(amount_minor=str(found.balance_minor), asset=found.account.asset)
    return BalanceView(account=found.account.name, balance=amount)


def trial_view(found: Trial) -> TrialBalanceView:
    """Render the proof."""
    return TrialBalanceView(
        lines=tuple(_line(line) for line in found.lines),
        accounts=tuple(balance_view(one) for one in found.accounts),
        rebuilt=found.rebuilt,
    )


def _line(line: TrialLine) -> TrialBalanceLine:
    difference_minor = line.debit_minor - line.credit_minor
    return TrialBalanceLine(
        debit=Amount(amount_minor=str(line.debit_minor), asset=line.asset),
        credit=Amount(amount_minor=str(line.credit_minor), asset=line.asset),
        difference=Amount(amount_minor=str(difference_minor), asset=line.asset),
    )


ROUTES = (read_balances, read_trial_balance)

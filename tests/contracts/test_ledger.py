"""The books: groups commit whole, nothing booked is ever changed, balances are what the transfers say."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.domain.ledger.transfers import Balance, LedgerAccount, Side, TrialLine
from decent_cloud.kernel.errors import AlreadyExists, Internal
from decent_cloud.kernel.money import Asset
from tests.contracts.conftest import Held
from tests.contracts.samples import TENANT, cash, transfer
from tests.contracts.samples import held as held_by

CREDIT = LedgerAccount(f"credit/{TENANT}", Asset.USD, Side.CREDIT, floored=True)
COST = LedgerAccount("cost/sandbox", Asset.USD, Side.DEBIT, floored=True)
FEE = LedgerAccount("income/platform_fee", Asset.USD, Side.CREDIT, floored=True)


def balances(held: Held) -> dict[str, int]:
    rows = held.read(lambda uow: uow.ledger.balances(""))
    return {row.account.name: row.balance_minor for row in rows}


def test_a_transfer_moves_both_accounts(held: Held) -> None:
    booked = transfer("t1", cash(), held_by(), 10)
    held.write(lambda uow: uow.ledger.post((booked,)))
    assert balances(held) == {"held/c1.1": 10, "processor/sandbox": 10}
    assert held.read(lambda uow: uow.ledger.balance(held_by())) == 10
    assert held.read(lambda uow: uow.ledger.balance(CREDIT)) == 0
    assert held.read(lambda uow: uow.ledger.transfers("r")) == (booked,)


def test_a_group_keeps_its_order_and_may_pass_through_zero(held: Held) -> None:
    group = (
        transfer("t1", held_by(), CREDIT, 4),
        transfer("t2", cash(), held_by(), 10),
        transfer("t3", held_by(), FEE, 6),
    )
    held.write(lambda uow: uow.ledger.post(group))
    assert held.read(lambda uow: uow.ledger.transfers("r")) == group
    assert balances(held)["held/c1.1"] == 0


def test_a_booked_id_is_refused_whatever_else_the_group_holds(held: Held) -> None:
    held.write(lambda uow: uow.ledger.post((transfer("t1", cash(), held_by()),)))
    with pytest.raises(AlreadyExists):
        held.write(
            lambda uow: uow.ledger.post(
                (transfer("t2", cash(), CREDIT), transfer("t1", cash(), held_by()))
            )
        )
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.ledger.post((transfer("t1", cash(), held_by()),)))
    assert balances(held) == {"held/c1.1": 10, "processor/sandbox": 10}


def test_a_floored_account_cannot_be_overdrawn(held: Held) -> None:
    held.write(lambda uow: uow.ledger.post((transfer("t1", cash(), held_by(), 10),)))
    for too_much in (transfer("t2", held_by(), CREDIT, 11), transfer("t3", held_by(), FEE, 2**40)):
        with pytest.raises(Overdrawn):
            held.write(lambda uow, of=too_much: uow.ledger.post((of,)))  # type: ignore[misc]
    with pytest.raises(Overdrawn):  # an account never used before
        held.write(lambda uow: uow.ledger.post((transfer("t4", held_by("other"), CREDIT, 1),)))
    assert balances(held) == {"held/c1.1": 10, "processor/sandbox": 10}
    assert held.read(lambda uow: uow.ledger.transfers("r")) == (
        transfer("t1", cash(), held_by(), 10),
    )


def test_an_account_without_floor_may_go_below_zero(held: Held) -> None:
    held.write(lambda uow: uow.ledger.post((transfer("t1", COST, cash(), 7),)))
    assert balances(held) == {"cost/sandbox": 7, "processor/sandbox": -7}
    assert held.read(lambda uow: uow.ledger.trial_balance()) == (TrialLine(Asset.USD, 0, 0),)


def test_an_account_keeps_its_side(held: Held) -> None:
    held.write(lambda uow: uow.ledger.post((transfer("t1", cash(), held_by()),)))
    turned = LedgerAccount("processor/sandbox", Asset.USD, Side.CREDIT, floored=False)
    with pytest.raises(Internal):
        held.write(lambda uow: uow.ledger.post((transfer("t2", COST, turned, 1),)))


def test_assets_do_not_mix(held: Held) -> None:
    for asset in (Asset.USD, Asset.CKBTC):
        booked = transfer(f"t {asset}", cash(asset), held_by(asset=asset), 2**52)
        held.write(lambda uow, of=booked: uow.ledger.post((of,)))  # type: ignore[misc]
    assert held.read(lambda uow: uow.ledger.trial_balance()) == (
        TrialLine(Asset.USD, 2**52, 2**52),
        TrialLine(Asset.CKBTC, 2**52, 2**52),
    )


def test_balances_of_one_owner(held: Held) -> None:
    odd = LedgerAccount("transit/treasury/a_b%", Asset.USD, Side.CREDIT, floored=False)
    group = (
        transfer("t1", cash(), CREDIT),
        transfer("t2", cash(), odd),
        transfer("t3", cash(), FEE),
    )
    held.write(lambda uow: uow.ledger.post(group))
    assert held.read(lambda uow: uow.ledger.balances(TENANT)) == (Balance(CREDIT, 10),)
    assert held.read(lambda uow: uow.ledger.balances("a_b%")) == (Balance(odd, 10),)
    assert held.read(lambda uow: uow.ledger.balances("aXb%")) == ()


def test_balances_rebuilt_from_transfers_are_the_same_after_a_rush(held: Held) -> None:
    async def rush() -> None:
        group = [
            held.database.write(
                lambda uow, n=n: uow.ledger.post(  # type: ignore[misc]
                    (
                        transfer(f"in {n}", cash(), held_by(str(n % 3)), 10),
                        transfer(f"out {n}", held_by(str(n % 3)), FEE, 3),
                    )
                )
            )
            for n in range(60)
        ]
        single = [
            held.database.write(
                lambda uow, n=n: uow.ledger.post((transfer(f"s {n}", cash(), CREDIT, 1),))  # type: ignore[misc]
            )
            for n in range(60)
        ]
        await asyncio.gather(*group, *single)

    held.run(rush())
    assert held.read(lambda uow: uow.ledger.differences()) == ()
    assert held.read(lambda uow: uow.ledger.trial_balance()) == (TrialLine(Asset.USD, 660, 660),)
    assert balances(held)["income/platform_fee"] == 180


def test_a_balance_that_was_tampered_with_is_found(sql: Held) -> None:
    sql.write(lambda uow: uow.ledger.post((transfer("t1", cash(), held_by()),)))
    stranger(sql)("UPDATE balances SET balance_minor = 11 WHERE account = 'held/c1.1'")
    assert sql.read(lambda uow: uow.ledger.differences()) == (Balance(held_by(), 11),)


TAMPERING = {
    "update": "UPDATE transfers SET amount_minor = 99",
    "delete": "DELETE FROM transfers",
    "delete one": "DELETE FROM transfers WHERE id = 't1'",
    "upsert": "INSERT INTO transfers (seq, id, debit, credit, asset, amount_minor, kind, reference,"
    " booked_at_ms, occurred_at_ms) VALUES (77, 't1', 'a', 'b', 'USD', 1, 'order', 'r', 1, 1)"
    " ON CONFLICT (id) DO UPDATE SET amount_minor = 99",
}
COLUMNS = (
    "(seq, id, debit, credit, asset, amount_minor, kind, reference, booked_at_ms, occurred_at_ms)"
)
REPLACING = {
    "replace the id": f"INSERT OR REPLACE INTO transfers {COLUMNS}"
    " VALUES (NULL, 't1', 'a', 'b', 'USD', 99, 'order', 'r', 1, 1)",
    "replace the number": f"REPLACE INTO transfers {COLUMNS}"
    " VALUES (1, 't9', 'a', 'b', 'USD', 99, 'order', 'r', 1, 1)",
    "update or replace": "UPDATE OR REPLACE transfers SET id = 't2' WHERE id = 't1'",
}


@pytest.mark.parametrize("how", [*TAMPERING, *REPLACING, "truncate"])
def test_no_connection_can_change_what_is_booked(sql: Held, how: str) -> None:
    group = (transfer("t1", cash(), held_by()), transfer("t2", cash(), held_by()))
    sql.write(lambda uow: uow.ledger.post(group))
    if sql.kind == "sqlite":
        statement = (TAMPERING | REPLACING).get(how, "DELETE FROM transfers WHERE 1")
    else:
        statement = TAMPERING.get(how, "TRUNCATE transfers")
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException)):
        stranger(sql)(statement)
    assert sql.read(lambda uow: uow.ledger.transfers("r")) == group


def stranger(sql: Held) -> Callable[[str], Any]:
    """Run a statement on a connection that knows nothing of ours: no pragmas, no limits."""

    def run(statement: str) -> None:
        if sql.kind == "sqlite":
            path = sql.url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
                connection.execute(statement)
        else:
            with psycopg.connect(sql.url) as connection_:
                connection_.execute(statement.encode())

    return run

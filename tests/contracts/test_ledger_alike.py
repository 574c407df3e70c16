"""Whatever is booked in whatever order, the books in memory and in SQLite are the same and balance."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.adapters.sql.engine import connect
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.ledger.transfers import LedgerAccount, Side, Transfer
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.money import Asset
from tests.contracts.conftest import MASTER_KEY, Held, sqlite_url
from tests.contracts.samples import transfer

ACCOUNTS = [
    LedgerAccount("processor/sandbox", Asset.USD, Side.DEBIT, floored=False),
    LedgerAccount("wallet/ckusdc", Asset.USD, Side.DEBIT, floored=True),
    LedgerAccount("held/a", Asset.USD, Side.CREDIT, floored=True),
    LedgerAccount("credit/b", Asset.USD, Side.CREDIT, floored=True),
    LedgerAccount("payable/c", Asset.USD, Side.CREDIT, floored=False),
]

pairs = st.permutations(ACCOUNTS).map(lambda order: (order[0], order[1]))
transfers = st.builds(
    lambda number, pair, amount: transfer(f"t{number}", pair[0], pair[1], amount),
    st.integers(0, 30),
    pairs,
    st.integers(1, 20),
)
groups = st.lists(
    st.lists(transfers, min_size=1, max_size=3, unique_by=lambda one: one.id).map(tuple),
    min_size=1,
    max_size=12,
)


def outcome(database: Held, group: tuple[Transfer, ...]) -> str:
    try:
        database.write(lambda uow: uow.ledger.post(group))
    except DecentError as error:
        return error.code
    return "booked"


def books(uow: UnitOfWork) -> tuple[object, ...]:
    ledger = uow.ledger
    used = tuple(row for row in ledger.balances("") if row.balance_minor)
    return used, ledger.trial_balance(), ledger.transfers("r"), ledger.differences()


@settings(max_examples=40)
@given(groups)
def test_the_books_are_the_same_everywhere(booked: list[tuple[Transfer, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = sqlite_url(Path(folder))
        memory = Held("memory", "", MemoryDatabase)
        sqlite = Held("sqlite", url, lambda: connect(url, MASTER_KEY))
        try:
            for group in booked:
                assert outcome(memory, group) == outcome(sqlite, group)
            assert memory.read(books) == sqlite.read(books)
            for line in sqlite.read(lambda uow: uow.ledger.trial_balance()):
                assert line.debit_minor == line.credit_minor
            assert sqlite.read(lambda uow: uow.ledger.differences()) == ()
        finally:
            memory.close()
            sqlite.close()

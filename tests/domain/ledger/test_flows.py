"""The flow table of the design as one test: every row is booked in every kind of database.

Rows whose events come later are here already, because postings are pure; the comment says what later work adds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app.ports.unit_of_work import Database, UnitOfWork
from decent_cloud.domain.ledger import accounts, postings
from decent_cloud.domain.ledger.accounts import PAIRS, TransferKind
from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.domain.ledger.postings import Booking, Group, LostParts
from decent_cloud.kernel.errors import AlreadyExists
from decent_cloud.kernel.ids import AccountId, PaymentId, TermId
from decent_cloud.kernel.money import Asset, Money

TERM, NEXT_TERM = TermId("c1.1"), TermId("c1.2")
PAYMENT = PaymentId("c1.1.p1")
TENANT, PROVIDER = AccountId("aa" * 32), AccountId("bb" * 32)
USD, ICP = Asset.USD, Asset.ICP
CARD = accounts.processor("sandbox", USD)
HELD = accounts.held(TERM, USD)
SUSPENSE = accounts.suspense(PAYMENT, USD)
PREPAID, CREDIT = accounts.prepaid(TENANT, USD), accounts.credit(TENANT, USD)
FEE, LOSS = "income/platform_fee", "loss/disputes"


def at(reference: str, k: str = "") -> Booking:
    return Booking(reference, 2_000, 1_000, k)


def usd(amount_minor: int) -> Money:
    return Money(amount_minor, USD)


def icp(amount_minor: int) -> Money:
    return Money(amount_minor, ICP)


# What stands before a flow, so that it takes from something.
PAID = postings.order(at(TERM), CARD, TERM, usd(1_000))
RELEASED = PAID + postings.release(at(TERM), TERM, PROVIDER, 400, 20, USD)
ASIDE = postings.to_suspense(at(PAYMENT), "sandbox", PAYMENT, usd(1_000))
TOPPED_UP = postings.topup(at("top"), "sandbox", TENANT, usd(1_000))
SOLD = postings.pack_sold(at("pack"), CARD, usd(500))
CREDITED = PAID + postings.sla_credit(at(TERM), TERM, TENANT, usd(300))
OPENED = postings.dispute_opened(at(PAYMENT), "sandbox", PAYMENT, usd(1_000), 15)
SOURCES = (
    (ASIDE, SUSPENSE),
    (TOPPED_UP, PREPAID),
    (SOLD, accounts.account(accounts.AccountKind.DEFERRED, "notifications", USD)),
)
SENT = postings.refund_sent(at("r1"), HELD, 600)
PAID_ICP = postings.order(at(TERM), accounts.processor("icpay", ICP), TERM, icp(1_000))
MOVED_ICP = postings.treasury_sent(at("m1"), "icpay", icp(500))
IN_WALLET = MOVED_ICP + postings.treasury_arrived(at("m1"), "icp", icp(490), 10)
PLANNED = RELEASED + postings.payout_planned(at("po1"), PROVIDER, usd(300))


def lost(parts: LostParts) -> Group:
    return postings.dispute_lost(at(PAYMENT), PAYMENT, TERM, TENANT, PROVIDER, parts, USD)


@dataclass(frozen=True)
class Row:
    flow: str
    before: Group
    booked: Group
    moved: dict[str, int]  # by how much balances change, in their own direction


T, P = f"/{TENANT}", f"/{PROVIDER}"

ROWS = [
    Row("order by card", (), PAID, {"processor/sandbox": 1_000, "held/c1.1": 1_000}),
    Row(
        "order by prepaid",  # top-ups add the way to fill it
        TOPPED_UP,
        postings.order(at(TERM), PREPAID, TERM, usd(400)),
        {f"prepaid{T}": -400, "held/c1.1": 400},
    ),
    Row(
        "order by credit",
        CREDITED,
        postings.order(at(NEXT_TERM), CREDIT, NEXT_TERM, usd(300)),
        {f"credit{T}": -300, "held/c1.2": 300},
    ),
    Row(
        "extension into a new term",
        PAID,
        postings.order(at(NEXT_TERM), CARD, NEXT_TERM, usd(700)),
        {"processor/sandbox": 700, "held/c1.2": 700},
    ),
    Row(
        "processor cost",  # real processors add their fee
        PAID,
        postings.processor_cost(at(PAYMENT), "sandbox", usd(29)),
        {"cost/sandbox": 29, "processor/sandbox": -29},
    ),
    Row(
        "late, mismatch, surplus",
        (),
        ASIDE,
        {"processor/sandbox": 1_000, f"suspense/{PAYMENT}": 1_000},
    ),
    Row(
        "an operator accepts suspense",
        ASIDE,
        postings.review_settled(at(TERM), PAYMENT, TERM, usd(1_000)),
        {f"suspense/{PAYMENT}": -1_000, "held/c1.1": 1_000},
    ),
    Row(
        "suspense goes back",
        ASIDE,
        postings.refund_sent(at("r1"), SUSPENSE, 1_000),
        {f"suspense/{PAYMENT}": -1_000, "transit/r1": 1_000},
    ),
    Row(
        "release",
        PAID,
        postings.release(at(TERM), TERM, PROVIDER, 400, 20, USD),
        {"held/c1.1": -400, f"payable{P}": 380, FEE: 20},
    ),
    Row("refund sent", PAID, SENT, {"held/c1.1": -600, "transit/r1": 600}),
    Row(
        "refund confirmed",
        PAID + SENT,
        postings.refund_confirmed(at("r1"), "sandbox", usd(600)),
        {"transit/r1": -600, "processor/sandbox": -600},
    ),
    Row(
        "refund failed while sent",
        PAID + SENT,
        postings.refund_failed(at("r1"), HELD, 600),
        {"transit/r1": -600, "held/c1.1": 600},
    ),
    Row(
        "refund failed after it was confirmed",
        PAID + SENT + postings.refund_confirmed(at("r1"), "sandbox", usd(600)),
        postings.refund_given_back(at("r1"), "sandbox", HELD, 600),
        {"processor/sandbox": 600, "held/c1.1": 600},
    ),
    Row(
        "refund by credit, from held",
        PAID,
        postings.refund_to_balance(at("r1"), HELD, CREDIT, 600),
        {"held/c1.1": -600, f"credit{T}": 600},
    ),
    Row(
        "refund by credit, from suspense",
        ASIDE,
        postings.refund_to_balance(at("r1"), SUSPENSE, CREDIT, 1_000),
        {f"suspense/{PAYMENT}": -1_000, f"credit{T}": 1_000},
    ),
    Row(
        "refund of what prepaid paid",
        TOPPED_UP + postings.order(at(TERM), PREPAID, TERM, usd(400)),
        postings.refund_to_balance(at("r1"), HELD, PREPAID, 250),
        {"held/c1.1": -250, f"prepaid{T}": 250},
    ),
    Row(
        "refund of ICPay money by ICRC-1",  # the wallet comes with ICRC-1
        PAID_ICP + IN_WALLET + postings.refund_sent(at("r1"), accounts.held(TERM, ICP), 300),
        postings.refund_confirmed_by_wallet(at("r1"), "icp", icp(300), 10),
        {"transit/r1": -300, "wallet/icp": -310, "cost/icp": 10},
    ),
    Row(
        "treasury move leaves ICPay",  # comes with ICPay
        PAID_ICP,
        MOVED_ICP,
        {"transit/treasury/m1": 500, "processor/icpay": -500},
    ),
    Row(
        "treasury move arrives on the certified block",  # comes with ICRC-1
        PAID_ICP + MOVED_ICP,
        postings.treasury_arrived(at("m1"), "icp", icp(490), 10),
        {"transit/treasury/m1": -500, "wallet/icp": 490, "cost/icp": 10},
    ),
    Row(
        "SLA credit",  # outages and SLA windows add the event
        PAID,
        postings.sla_credit(at(TERM), TERM, TENANT, usd(300)),
        {"held/c1.1": -300, f"credit{T}": 300},
    ),
    Row(
        "dispute opened",
        PAID,
        OPENED,
        {f"dispute/{PAYMENT}": 1_000, "processor/sandbox": -1_015, "cost/sandbox": 15},
    ),
    Row(
        "dispute won",
        PAID + OPENED,
        postings.dispute_won(at(PAYMENT), "sandbox", PAYMENT, usd(1_000)),
        {f"dispute/{PAYMENT}": -1_000, "processor/sandbox": 1_000},
    ),
    Row(
        "dispute lost, nothing released",
        PAID + OPENED,
        lost(LostParts(held_minor=1_000)),
        {"held/c1.1": -1_000, f"dispute/{PAYMENT}": -1_000},
    ),
    Row(
        "dispute lost, released in part, the rest refunded before",
        RELEASED + postings.refund_sent(at("r1"), HELD, 600) + OPENED,
        lost(LostParts(payable_minor=380, fee_minor=20, loss_minor=600)),
        {f"payable{P}": -380, FEE: -20, LOSS: 600, f"dispute/{PAYMENT}": -1_000},
    ),
    Row(
        "dispute lost after a payout: payable goes below 0",
        PLANNED + OPENED,
        lost(LostParts(held_minor=600, payable_minor=380, fee_minor=20)),
        {"held/c1.1": -600, f"payable{P}": -380, FEE: -20, f"dispute/{PAYMENT}": -1_000},
    ),
    Row(
        "dispute lost, credited in part and spent in part",
        CREDITED + OPENED,
        lost(LostParts(held_minor=700, credit_minor=200, owed_minor=100)),
        {"held/c1.1": -700, f"credit{T}": -200, f"owed{T}": 100, f"dispute/{PAYMENT}": -1_000},
    ),
    Row(
        "dispute lost, a top-up spent in part",  # top-ups add the event
        TOPPED_UP + OPENED,
        lost(LostParts(prepaid_minor=600, owed_minor=400)),
        {f"prepaid{T}": -600, f"owed{T}": 400, f"dispute/{PAYMENT}": -1_000},
    ),
    Row(
        "dispute lost, a pack used in part",  # notification packs add the event
        SOLD + postings.dispute_opened(at(PAYMENT), "sandbox", PAYMENT, usd(500), 0),
        lost(LostParts(deferred_minor=300, owed_minor=200)),
        {"deferred/notifications": -300, f"owed{T}": 200, f"dispute/{PAYMENT}": -500},
    ),
    Row(
        "a refund comes back after its dispute was lost",
        RELEASED
        + SENT
        + OPENED
        + lost(LostParts(payable_minor=380, fee_minor=20, loss_minor=600))
        + postings.refund_failed(at("r1"), HELD, 600),
        postings.loss_recovered(at("r1"), HELD, 600),
        {"held/c1.1": -600, LOSS: -600},
    ),
    Row(
        "a surplus not sent yet, after its dispute was lost",
        ASIDE + OPENED + lost(LostParts(loss_minor=1_000)),
        postings.loss_recovered(at("r1"), SUSPENSE, 1_000),
        {f"suspense/{PAYMENT}": -1_000, LOSS: -1_000},
    ),
    *(
        Row(
            f"refund to {source.name} failed while sent",
            before + postings.refund_sent(at("r1"), source, 100),
            postings.refund_failed(at("r1"), source, 100),
            {"transit/r1": -100, source.name: 100},
        )
        for before, source in SOURCES
    ),
    *(
        Row(
            f"refund to {source.name} failed after it was confirmed",
            before
            + postings.refund_sent(at("r1"), source, 100)
            + postings.refund_confirmed(at("r1"), "sandbox", usd(100)),
            postings.refund_given_back(at("r1"), "sandbox", source, 100),
            {"processor/sandbox": 100, source.name: 100},
        )
        for before, source in SOURCES
    ),
    *(
        Row(
            f"pack or plan sold by {purse.name}",
            before,
            postings.pack_sold(at("pack"), purse, usd(100)),
            {purse.name: -100, "deferred/notifications": 100},
        )
        for before, purse in ((TOPPED_UP, PREPAID), (CREDITED, CREDIT))
    ),
    *(
        Row(
            f"debt repaid by {word}",  # a way to repay comes with top-ups
            TOPPED_UP + CREDITED + OPENED + lost(LostParts(held_minor=700, owed_minor=300)),
            postings.debt_repaid(at("d1"), purse, TENANT, usd(100)),
            {purse.name: change, f"owed{T}": -100},
        )
        for word, purse, change in (
            ("card", CARD, 100),
            ("prepaid", PREPAID, -100),
            ("credit", CREDIT, -100),
        )
    ),
    Row(
        "payout planned",  # payouts add their lifecycle
        RELEASED,
        postings.payout_planned(at("po1"), PROVIDER, usd(300)),
        {f"payable{P}": -300, "transit/po1": 300},
    ),
    Row(
        "payout confirmed",
        PLANNED,
        postings.payout_confirmed(at("po1"), CARD, usd(300)),
        {"transit/po1": -300, "processor/sandbox": -300},
    ),
    Row(
        "payout confirmed by wallet",
        PAID_ICP
        + IN_WALLET
        + postings.release(at(TERM), TERM, PROVIDER, 400, 0, ICP)
        + postings.payout_planned(at("po1"), PROVIDER, icp(300)),
        postings.payout_confirmed(at("po1"), accounts.wallet("icp", ICP), icp(300)),
        {"transit/po1": -300, "wallet/icp": -300},
    ),
    Row(
        "payout failed",
        PLANNED,
        postings.payout_failed(at("po1"), PROVIDER, usd(300)),
        {"transit/po1": -300, f"payable{P}": 300},
    ),
    Row(
        "pack or plan sold",  # notification packs add the event
        (),
        SOLD,
        {"processor/sandbox": 500, "deferred/notifications": 500},
    ),
    Row(
        "pack used",
        SOLD,
        postings.pack_used(at("pack", "1"), usd(20)),
        {"deferred/notifications": -20, "income/notifications": 20},
    ),
    Row(
        "pack refunded",
        SOLD,
        postings.pack_refund_sent(at("r1"), usd(480)),
        {"deferred/notifications": -480, "transit/r1": 480},
    ),
    Row(
        "pack refunded as credit",
        SOLD,
        postings.pack_refund_credited(at("r1"), TENANT, usd(480)),
        {"deferred/notifications": -480, f"credit{T}": 480},
    ),
    Row("top-up", (), TOPPED_UP, {"processor/sandbox": 1_000, f"prepaid{T}": 1_000}),
    Row(
        "top-up refunded",
        TOPPED_UP,
        postings.refund_sent(at("r1"), PREPAID, 1_000)
        + postings.refund_confirmed(at("r1"), "sandbox", usd(1_000)),
        {f"prepaid{T}": -1_000, "processor/sandbox": -1_000},
    ),
    Row(
        "penalty, earnings or not",
        (),
        postings.penalty(at("c1"), PROVIDER, TENANT, usd(50)),
        {f"payable{P}": -50, f"credit{T}": 50},
    ),
    Row(
        "write-off of a provider's debt",  # payouts decide when
        postings.penalty(at("c1"), PROVIDER, TENANT, usd(50)),
        postings.write_off(at("w1"), accounts.payable(PROVIDER, USD), usd(50)),
        {"loss/bad_debt": 50, f"payable{P}": 50},
    ),
    Row(
        "write-off of a tenant's debt",
        PAID + OPENED + lost(LostParts(held_minor=700, owed_minor=300)),
        postings.write_off(at("w1"), accounts.owed(TENANT, USD), usd(300)),
        {"loss/bad_debt": 300, f"owed{T}": -300},
    ),
]

Open = Callable[[], Database]


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "memory":
        return MemoryDatabase
    url: str = f"sqlite:///{tmp_path / 'books.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_database")()
    migrate(url)
    return lambda: connect(url, bytes(32))


class _RolledBack(Exception):
    """Ends a row's unit of work, so that the next row starts from empty books."""


async def walk(database: Database, row: Row) -> None:
    seen: dict[str, int] = {}

    def fn(uow: UnitOfWork) -> None:
        uow.ledger.post(row.before)
        before = {b.account.name: b.balance_minor for b in uow.ledger.balances("")}
        uow.ledger.post(row.booked)
        after = {b.account.name: b.balance_minor for b in uow.ledger.balances("")}
        seen.update(
            {
                name: value - before.get(name, 0)
                for name, value in after.items()
                if value != before.get(name, 0)
            }
        )
        for line in uow.ledger.trial_balance():
            assert line.debit_minor == line.credit_minor, line
        assert uow.ledger.differences() == ()
        raise _RolledBack

    with pytest.raises(_RolledBack):
        await database.write(fn)
    assert seen == row.moved, row.flow


def test_every_flow_moves_what_the_table_says(open_database: Open) -> None:
    async def everything() -> None:
        database = open_database()
        try:
            for row in ROWS:
                await walk(database, row)
        finally:
            await database.close()

    asyncio.run(everything())


def test_the_rows_use_every_kind_of_transfer_and_every_allowed_pair() -> None:
    booked = [transfer for row in ROWS for transfer in row.before + row.booked]
    used = {
        (
            transfer.kind,
            accounts.kind_of(transfer.debit.name),
            accounts.kind_of(transfer.credit.name),
        )
        for transfer in booked
    }
    allowed = {(kind.value, *pair) for kind in TransferKind for pair in PAIRS[kind]}
    unused = {f"{kind}: {debit.value} -> {credit.value}" for kind, debit, credit in allowed - used}
    assert used <= allowed
    assert unused == set()


def test_a_transfer_is_booked_once_and_a_floor_holds(open_database: Open) -> None:
    async def try_twice() -> None:
        database = open_database()
        try:
            await database.write(lambda uow: uow.ledger.post(PAID))
            with pytest.raises(AlreadyExists):
                await database.write(lambda uow: uow.ledger.post(PAID))
            too_much = postings.release(at(TERM, "2"), TERM, PROVIDER, 1_001, 50, USD)
            with pytest.raises(Overdrawn):
                await database.write(lambda uow: uow.ledger.post(too_much))
            held = await database.read(lambda uow: uow.ledger.balance(HELD))
            paid_out = await database.read(lambda uow: uow.ledger.balances(PROVIDER))
            assert held == 1_000
            assert [balance.balance_minor for balance in paid_out if balance.balance_minor] == []
        finally:
            await database.close()

    asyncio.run(try_twice())

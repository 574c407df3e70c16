"""Rentals without people: contracts, terms and payments put straight into a database, for tests of money."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.app import payments, releases, steps
from decent_cloud.app.payment_effects import get as get_payment
from decent_cloud.app.ports.processors import Charge, ChargeState
from decent_cloud.app.ports.unit_of_work import Database, UnitOfWork
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, InstancePlan, Term
from decent_cloud.domain.contracts.lifecycle import REQUESTED_MS, ContractEvent
from decent_cloud.domain.identity.providers import Pool
from decent_cloud.domain.ledger.transfers import Balance
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.ids import (
    AccountId,
    ContractId,
    Digest,
    OfferingId,
    PaymentId,
    PoolId,
    TermId,
)
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import (
    AcceptMode,
    ContractState,
    OfferingKind,
    OfferingState,
    ServerMode,
    Visibility,
)
from decent_cloud.wire.v1.contracts import PayWith

T = TypeVar("T")

TENANT = AccountId("7e" * 32)
PROVIDER = AccountId("90" * 32)
OFFERING = OfferingId("o" + "0" * 26)
POOL = PoolId("w" + "0" * 26)
START_MS = 1_800_000_000_000
FEE_PPM = 50_000
CARD = PayWith(method="sandbox", card="test-ok")
CREDIT = PayWith(method="credit")


def an_offering() -> Offering:
    return Offering(
        id=OFFERING,
        provider=PROVIDER,
        pool=POOL,
        state=OfferingState.PUBLISHED,
        visibility=Visibility.PUBLIC,
        title="Small",
        description="",
        kind=OfferingKind.CONTAINER,
        image="dc-ssh",
        cpu_milli=500,
        memory_mib=256,
        disk_gib=1,
        country="CH",
        region="",
        asset=Asset.USD,
        price_minor_per_hour=10,
        stock=1_000,
        reserved=0,
        min_hours=1,
        max_hours=1_000,
        accept_mode=AcceptMode.AUTO,
        provision_timeout_s=1_800,
        penalty_ppm=100_000,
        settings={},
        allowed_accounts=(),
        updated_at_ms=START_MS,
    )


def a_contract(id_: ContractId, hours: int, total_minor: int, now_ms: int) -> Contract:
    return Contract(
        id=id_,
        digest=Digest(id_[1:].rjust(64, "0")),
        tenant=TENANT,
        provider=PROVIDER,
        offering=OFFERING,
        offering_title="Small",
        pool=POOL,
        state=ContractState.REQUESTED,
        state_since_ms=now_ms,
        deadline_ms=now_ms + REQUESTED_MS,
        created_at_ms=now_ms,
        order="{}",
        offer_hash="",
        hours=hours,
        total_minor=total_minor,
        asset=Asset.USD,
        plan=InstancePlan("dc-ssh", 500, 256, 1, {}),
        accept_mode=AcceptMode.AUTO,
        provision_timeout_s=1_800,
        penalty_ppm=100_000,
        renews=False,
        self_rental=False,
    )


def a_term(contract: ContractId, ordinal: int, hours: int, amount_minor: int) -> Term:
    return Term(
        id=TermId(f"{contract}.{ordinal}"),
        contract=contract,
        ordinal=ordinal,
        hours=hours,
        asset=Asset.USD,
        amount_minor=amount_minor,
        fee_ppm=FEE_PPM,
        order="{}",
        digest=Digest(f"{ordinal:x}{contract[1:]}".rjust(64, "0")),
    )


def furnish(uow: UnitOfWork) -> None:
    """Stamp the platform and store the pool and the offering that every contract here uses."""
    uow.platform.stamp(ServerMode.DEVELOPMENT, "11" * 32)
    uow.providers.add_pool(Pool(POOL, PROVIDER, "default", "fake", START_MS))
    uow.offerings.add(an_offering())


class Rentals:
    """A platform whose clock the test turns, in memory if no database is given; every verb is one unit of work."""

    def __init__(self, db: Database | None = None) -> None:
        self.db: Database = db or MemoryDatabase()
        self.now_ms = START_MS
        self._count = 0
        self.write(furnish)

    def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        if isinstance(self.db, MemoryDatabase):
            return self.db.write_now(fn)
        return asyncio.run(self.db.write(fn))

    def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        if isinstance(self.db, MemoryDatabase):
            return self.db.read_now(fn)
        return asyncio.run(self.db.read(fn))

    def close(self) -> None:
        asyncio.run(self.db.close())

    def give_credit(self, amount_minor: int) -> None:
        """Fill the tenant's credit, by a penalty of a provider."""
        self._count += 1
        contract = a_contract(ContractId(f"c{self._count:026d}"), 1, 10, self.now_ms)
        all_of_it = replace(contract, penalty_ppm=1_000_000)
        self.write(lambda uow: releases.book_penalty(uow, all_of_it, self.now_ms, amount_minor))

    def order(self, hours: int = 10, total_minor: int = 1_000, pay: PayWith = CARD) -> ContractId:
        self._count += 1
        id_ = ContractId(f"c{self._count:026d}")

        def place(uow: UnitOfWork) -> None:
            contract = a_contract(id_, hours, total_minor, self.now_ms)
            first = HistoryRow(id_, 1, self.now_ms, "test", "ordered", "", contract.state)
            uow.contracts.add(contract, first)
            uow.offerings.reserve(OFFERING)
            term = a_term(id_, 1, hours, total_minor)
            uow.contracts.add_term(term)
            payments.start(uow, TENANT, contract, term, pay, self.now_ms)

        self.write(place)
        return id_

    def extend(self, id_: ContractId, hours: int, amount_minor: int, pay: PayWith = CARD) -> None:
        def add(uow: UnitOfWork) -> None:
            term = a_term(id_, len(uow.contracts.terms(id_)) + 1, hours, amount_minor)
            uow.contracts.add_term(term)
            payments.start(uow, TENANT, self.contract_in(uow, id_), term, pay, self.now_ms)

        self.write(add)

    def charge(
        self,
        id_: ContractId,
        state: ChargeState = ChargeState.SUCCEEDED,
        *,
        received: Money | None = None,
        payment: PaymentId | None = None,
    ) -> Payment:
        """Tell the newest payment of a contract, or the named one, what the processor says."""
        chosen = payment or self.payments(id_)[-1].id

        def apply(uow: UnitOfWork) -> Payment:
            known = get_payment(uow, chosen)
            money = received or Money(known.amount_minor, known.asset)
            return payments.apply_charge(
                uow, chosen, Charge(f"ch_{chosen}", state, money), self.now_ms
            )

        return self.write(apply)

    def step(self, id_: ContractId, *events: ContractEvent) -> Contract:
        """Move a contract by events, as agents, providers and tenants do."""

        def walk(uow: UnitOfWork) -> None:
            for event in events:
                contract = self.contract_in(uow, id_)
                steps.advance(uow, contract, event, actor="test", now_ms=self.now_ms)

        self.write(walk)
        return self.contract(id_)

    def activate(self, id_: ContractId) -> Contract:
        """Take an accepted contract to `active`: its clock runs from now."""
        events = (ContractEvent.CREATE_STARTED, ContractEvent.PROVISIONED, ContractEvent.REACHED)
        return self.step(id_, *events)

    def active(self, hours: int = 10, total_minor: int = 1_000, pay: PayWith = CARD) -> ContractId:
        id_ = self.order(hours, total_minor, pay)
        if pay is CARD:
            self.charge(id_)
        self.activate(id_)
        return id_

    def pass_hours(self, hours: int) -> None:
        self.now_ms += hours * HOUR_MS

    def contract(self, id_: ContractId) -> Contract:
        return self.read(lambda uow: self.contract_in(uow, id_))

    @staticmethod
    def contract_in(uow: UnitOfWork, id_: ContractId) -> Contract:
        contract = uow.contracts.get(id_)
        assert contract is not None
        return contract

    def terms(self, id_: ContractId) -> tuple[Term, ...]:
        return self.read(lambda uow: uow.contracts.terms(id_))

    def payments(self, id_: ContractId) -> tuple[Payment, ...]:
        return self.read(lambda uow: uow.payments.of_contract(id_))

    def refunds(self, id_: ContractId) -> tuple[Refund, ...]:
        return self.read(lambda uow: uow.payments.refunds_of(id_))

    def balances(self) -> dict[str, int]:
        """Return every balance that is not 0, by account name."""
        return balances_of(self.read(lambda uow: uow.ledger.balances("")))


def balances_of(rows: tuple[Balance, ...]) -> dict[str, int]:
    return {row.account.name: row.balance_minor for row in rows if row.balance_minor}


def check_books(uow: UnitOfWork, contracts: tuple[ContractId, ...]) -> None:
    """Invariant 1: per term paid = held + released + refunded + credited + lost, the ledger says the same."""
    for line in uow.ledger.trial_balance():
        assert line.debit_minor == line.credit_minor, line
    assert uow.ledger.differences() == ()
    for balance in uow.ledger.balances(""):
        assert balance.balance_minor >= 0 or not balance.account.floored, balance
    held = {
        row.account.name: row.balance_minor
        for row in uow.ledger.balances("")
        if row.account.name.startswith("held/")
    }
    for id_ in contracts:
        for term in uow.contracts.terms(id_):
            parts = (
                term.held_minor,
                term.released_minor,
                term.released_minor - term.fee_minor,
                term.fee_minor,
                term.refunded_minor,
                term.credited_minor,
                term.lost_minor,
            )
            assert min(parts) >= 0, term
            assert held.get(f"held/{term.id}", 0) == term.held_minor, term

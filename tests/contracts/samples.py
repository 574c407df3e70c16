"""Records as they come from the domain, valid and short."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.outbox import Event
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, InstancePlan, Term
from decent_cloud.domain.contracts.reset import Reset
from decent_cloud.domain.identity.accounts import Account
from decent_cloud.domain.identity.providers import Pool
from decent_cloud.domain.ledger.transfers import LedgerAccount, Side, Transfer
from decent_cloud.domain.payments.payment import Payment, Purpose
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.ids import (
    AccountId,
    ContractId,
    Digest,
    JobId,
    OfferingId,
    PaymentId,
    PoolId,
    RefundId,
    ResetId,
    TermId,
    TransferId,
)
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import (
    AcceptMode,
    AssignmentState,
    ContractState,
    Desired,
    OfferingKind,
    OfferingState,
    PaymentState,
    RefundState,
    ResetOrigin,
    ResetState,
    Visibility,
)

R = TypeVar("R")

TENANT = AccountId("aa" * 32)
PROVIDER = AccountId("bb" * 32)
STRANGER = AccountId("cc" * 32)
POOL = PoolId("w1")


def each(action: Callable[[R], object], rows: Iterable[R]) -> None:
    """Do the same with each record, inside a lambda."""
    for row in rows:
        action(row)


def account(id_: AccountId = TENANT) -> Account:
    return Account(id_, seq=0, head="ab" * 32, admin=False, created_at_ms=1_000)


def pool(id_: str = "w1", name: str = "home") -> Pool:
    return Pool(PoolId(id_), PROVIDER, name, "fake", created_at_ms=1_000)


def offering(id_: str = "o1", **changes: object) -> Offering:
    values: dict[str, object] = {
        "id": OfferingId(id_),
        "provider": PROVIDER,
        "pool": POOL,
        "state": OfferingState.PUBLISHED,
        "visibility": Visibility.PUBLIC,
        "title": "Small machine",
        "description": "two cores",
        "kind": OfferingKind.CONTAINER,
        "image": "debian-12",
        "cpu_milli": 2_000,
        "memory_mib": 2_048,
        "disk_gib": 10,
        "country": "DE",
        "region": "berlin",
        "asset": Asset.USD,
        "price_minor_per_hour": 5,
        "stock": 2,
        "reserved": 0,
        "min_hours": 1,
        "max_hours": 100,
        "accept_mode": AcceptMode.AUTO,
        "provision_timeout_s": 1_800,
        "penalty_ppm": 0,
        "settings": {"gpu": "none"},
        "allowed_accounts": (),
        "updated_at_ms": 1_000,
        **changes,
    }
    return Offering(**values)  # type: ignore[arg-type]


def contract(id_: str = "c1", **changes: object) -> Contract:
    values: dict[str, object] = {
        "id": ContractId(id_),
        "digest": Digest(f"digest of {id_}"),
        "tenant": TENANT,
        "provider": PROVIDER,
        "offering": OfferingId("o1"),
        "offering_title": "Small machine",
        "pool": POOL,
        "state": ContractState.REQUESTED,
        "state_since_ms": 1_000,
        "deadline_ms": 0,
        "created_at_ms": 1_000,
        "order": '{"p":"x","s":[]}',
        "offer_hash": "ef" * 32,
        "hours": 2,
        "total_minor": 10,
        "asset": Asset.USD,
        "plan": InstancePlan("debian-12", 2_000, 2_048, 10, {"gpu": "none"}),
        "accept_mode": AcceptMode.AUTO,
        "provision_timeout_s": 1_800,
        "penalty_ppm": 0,
        "renews": False,
        "self_rental": False,
        **changes,
    }
    return Contract(**values)  # type: ignore[arg-type]


def step(of: Contract, *, event: str = "ordered") -> HistoryRow:
    """Return the history row of the step that makes `of`, whose version is the one after it."""
    return HistoryRow(of.id, of.version, 1_000, "tenant", event, "", of.state)


def term(of: str = "c1", ordinal: int = 1, digest: str = "") -> Term:
    return Term(
        id=TermId(f"{of}.{ordinal}"),
        contract=ContractId(of),
        ordinal=ordinal,
        hours=2,
        asset=Asset.USD,
        amount_minor=10,
        fee_ppm=50_000,
        order='{"p":"x","s":[]}',
        digest=Digest(digest or f"digest of {of}.{ordinal}"),
    )


def assignment(of: str = "c1", **changes: object) -> Assignment:
    values: dict[str, object] = {
        "contract": ContractId(of),
        "provider": PROVIDER,
        "pool": POOL,
        "state": AssignmentState.OPEN,
        "desired": Desired.RUNNING,
        "created_at_ms": 1_000,
        **changes,
    }
    return Assignment(**values)  # type: ignore[arg-type]


def reset(of: str = "c1", number: int = 1, **changes: object) -> Reset:
    values: dict[str, object] = {
        "id": ResetId(f"{of}.reset{number}"),
        "contract": ContractId(of),
        "provider": PROVIDER,
        "pool": POOL,
        "origin": ResetOrigin.TENANT,
        "state": ResetState.REQUESTED,
        "requested_at_ms": number * 1_000,
        "state_since_ms": number * 1_000,
        "deadline_ms": number * 1_000 + 900_000,
        "asked_by": "device/k",
        **changes,
    }
    return Reset(**values)  # type: ignore[arg-type]


def payment(id_: str = "c1.1.p1", **changes: object) -> Payment:
    values: dict[str, object] = {
        "id": PaymentId(id_),
        "payer": TENANT,
        "purpose": Purpose.TERM,
        "contract": ContractId("c1"),
        "term": TermId("c1.1"),
        "processor": "sandbox",
        "instrument": "good",
        "asset": Asset.USD,
        "amount_minor": 10,
        "state": PaymentState.CREATED,
        "created_at_ms": 1_000,
        "deadline_ms": 0,
        **changes,
    }
    return Payment(**values)  # type: ignore[arg-type]


def refund(id_: str = "c1.1.p1.r1") -> Refund:
    return Refund(
        id=RefundId(id_),
        payment=PaymentId("c1.1.p1"),
        payee=TENANT,
        contract=ContractId("c1"),
        term=TermId("c1.1"),
        processor="sandbox",
        asset=Asset.USD,
        amount_minor=10,
        source="held/c1.1",
        state=RefundState.PLANNED,
        created_at_ms=1_000,
        deadline_ms=0,
    )


def cash(asset: Asset = Asset.USD) -> LedgerAccount:
    return LedgerAccount("processor/sandbox", asset, Side.DEBIT, floored=False)


def held(owner: str = "c1.1", asset: Asset = Asset.USD) -> LedgerAccount:
    return LedgerAccount(f"held/{owner}", asset, Side.CREDIT, floored=True)


def transfer(
    id_: str,
    debit: LedgerAccount,
    credit: LedgerAccount,
    amount_minor: int = 10,
    reference: str = "r",
) -> Transfer:
    return Transfer(TransferId(id_), debit, credit, amount_minor, "order", reference, 2_000, 1_000)


def job(key: str, run_at_ms: int = 0, **changes: object) -> Job:
    values: dict[str, object] = {
        "id": JobId(key),
        "kind": "sample",
        "key": key,
        "run_at_ms": run_at_ms,
        **changes,
    }
    return Job(**values)  # type: ignore[arg-type]


def event(stream: str = "pool/w1", kind: str = "hint", at_ms: int = 1_000) -> Event:
    return Event(stream, kind, "c1", {"why": kind}, at_ms)

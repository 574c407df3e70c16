"""A platform without a server: use cases on any database, people and agents with real keys, a clock to turn."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.app import (
    accounts,
    agents,
    assignments,
    contracts,
    offerings,
    orders,
    payments,
    platform,
    providers,
    reports,
    steps,
)
from decent_cloud.app.caller import Caller, CallerKind
from decent_cloud.app.ports.processors import Charge, ChargeState
from decent_cloud.app.ports.unit_of_work import Database, UnitOfWork
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.terms import terms_hash
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, Term
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.identity.providers import Pool
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.chain import ChainState, begin, extend
from decent_cloud.domain.keys.credentials import Subject, seal_credential
from decent_cloud.domain.keys.delegations import (
    Delegation,
    Revocation,
    sign_delegation,
    sign_revocation,
)
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.links import build_add, build_rotate
from decent_cloud.domain.keys.offers import Offer, sign_offer
from decent_cloud.domain.keys.orders import Order, sign_order
from decent_cloud.domain.keys.seeds import AccountSeed, seal_old_seed
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    cosign,
    statement_from_json,
)
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, Kid, PoolId, RandomIds
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import Observed, Permission, ServerMode
from decent_cloud.wire.v1.accounts import AppendLink, CreateAccount
from decent_cloud.wire.v1.agents import CreateDelegation, Heartbeat, RevokeDelegation
from decent_cloud.wire.v1.assignments import (
    CredentialWire,
    FailedReport,
    HealthReport,
    ProvisionedReport,
    ProvisioningReport,
    RenewLease,
    StartCreate,
    TakeLease,
    TrafficReport,
)
from decent_cloud.wire.v1.contracts import EndContract, ExtendContract, PayWith, PlaceOrder
from decent_cloud.wire.v1.offerings import OfferingDraft, PublishOffering
from decent_cloud.wire.v1.providers import CreatePool, CreateProvider
from decent_cloud.wire.v1.statements import StatementWire
from tests.support.people import ALL_PERMISSIONS, box_of, genesis, genesis_body, new_keys

T = TypeVar("T")

START_MS = 1_800_000_000_000
FEE_PPM = 20_000
CARD = PayWith(method="sandbox", card="test-ok")
SCOPE = "engine-1"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuEUlDDvjSVe0SkZx1oPNfmRpjxGmuvHnUxpvwSzYKN"


class Store(Protocol):
    """Runs units of work to their end."""

    def write(self, fn: Callable[[UnitOfWork], T]) -> T: ...
    def read(self, fn: Callable[[UnitOfWork], T]) -> T: ...


class MemoryStore:
    """A database in memory."""

    def __init__(self) -> None:
        self.db = MemoryDatabase()

    def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.db.write_now(fn)

    def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.db.read_now(fn)


class LoopStore:
    """Any database behind the port, on an event loop of the test's."""

    def __init__(self, db: Database, loop: asyncio.AbstractEventLoop) -> None:
        self.db = db
        self._loop = loop

    def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self._loop.run_until_complete(self.db.write(fn))

    def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self._loop.run_until_complete(self.db.read(fn))


@dataclass(slots=True)
class Member:
    """An account with an ordinary and a recovery device."""

    keys: DeviceKeys
    recovery: DeviceKeys
    seed: AccountSeed
    chain: ChainState

    @property
    def id(self) -> AccountId:
        return self.chain.account_id

    @property
    def caller(self) -> Caller:
        return self.caller_of(self.keys)

    def caller_of(
        self, keys: DeviceKeys, rank: int = Rank.ORDINARY, *, admin: bool = False
    ) -> Caller:
        return Caller(self.id, keys.kid, CallerKind.DEVICE, rank, admin)


@dataclass(slots=True)
class Agent:
    """A daemon with a key in its provider's chain."""

    keys: DeviceKeys
    provider: AccountId
    scope: str = SCOPE

    @property
    def caller(self) -> Caller:
        return Caller(self.provider, self.keys.kid, CallerKind.AGENT, Rank.READER, admin=False)


@dataclass(slots=True)
class Shop:
    """A provider with one pool and one agent in it."""

    owner: Member
    pool: Pool
    agent: Agent


@dataclass(slots=True)
class Usecases:
    """Everything that can happen on a platform, one verb a unit of work."""

    store: Store = field(default_factory=MemoryStore)
    mode: ServerMode = ServerMode.DEVELOPMENT
    now_ms: int = START_MS
    ids: RandomIds = field(default_factory=RandomIds)

    def __post_init__(self) -> None:
        self.write(lambda uow: platform.ensure_stamp(uow, self.mode, "11" * 32))

    def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.store.write(fn)

    def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.store.read(fn)

    def wait(self, ms: int) -> None:
        self.now_ms += ms

    # people

    def account(self) -> Member:
        link, keys, recovery, seed = genesis()
        command = convert(genesis_body(link, seed), CreateAccount)
        self.write(lambda uow: accounts.create_account(uow, command, self.now_ms))
        return Member(keys, recovery, seed, begin(link))

    def add_device(
        self, member: Member, keys: DeviceKeys, type_: DeviceType, rank: int
    ) -> accounts.AccountDetails:
        device = keys.public(type_, rank)
        link = build_add(member.chain.next_place, device, [keys])
        link = cosign(StatementType.LINK, link, member.keys)
        boxes = [] if device.is_agent else [box_of(member.seed, member.id, device)]
        after = self.append(member, {"link": link.to_json(), "boxes": boxes})
        member.chain = extend(member.chain, link)
        return after

    def append(self, member: Member, body: dict[str, Any]) -> accounts.AccountDetails:
        command = convert(body, AppendLink)
        return self.write(
            lambda uow: accounts.append_link(uow, member.caller, command, self.now_ms)
        )

    def rotation(self, member: Member, revoke: set[Kid]) -> tuple[dict[str, Any], AccountSeed]:
        """A whole rotation as the recovery device makes it: link, boxes for who stays, old seed."""
        newer = AccountSeed(member.seed.generation + 1, secrets.token_bytes(32))
        generation = (newer.generation, newer.public)
        link = build_rotate(member.chain.next_place, revoke, generation, [member.recovery])
        after = extend(member.chain, link)
        staying = [device for device in after.active() if not device.is_agent]
        body = {
            "link": link.to_json(),
            "boxes": [box_of(newer, member.id, device) for device in staying],
            "old_seed": b64u.encode(seal_old_seed(member.seed, newer, member.id)),
        }
        return body, newer

    def rotate(self, member: Member, revoke: set[Kid]) -> None:
        body, newer = self.rotation(member, revoke)
        self.append(member, body)
        link = statement_from_json(body["link"])
        member.chain, member.seed = extend(member.chain, link), newer

    # providers

    def shop(self, *, scope: str = SCOPE, driver: str = "fake") -> Shop:
        owner = self.account()
        profile = CreateProvider(name="Shop")
        self.write(lambda uow: providers.create_provider(uow, owner.caller, profile, self.now_ms))
        pool = self.pool(owner, driver=driver)
        return Shop(owner, pool, self.agent(owner, pool.id, scope=scope))

    def pool(self, owner: Member, name: str = "main", driver: str = "fake") -> Pool:
        pool_id = self.ids.new("w", self.now_ms)
        command = CreatePool(name=name, driver=driver)
        return self.write(
            lambda uow: providers.create_pool(uow, owner.caller, command, self.now_ms, pool_id)
        )

    def agent(
        self,
        owner: Member,
        pool: PoolId,
        permissions: tuple[str, ...] = ALL_PERMISSIONS,
        *,
        scope: str = SCOPE,
    ) -> Agent:
        agent = Agent(new_keys(), owner.id, scope)
        self.add_device(owner, agent.keys, DeviceType.AGENT, Rank.READER)
        self.delegate(owner, agent, pool, permissions)
        if Permission.HEARTBEAT in permissions:
            self.beat(agent)
        return agent

    def delegate(
        self,
        owner: Member,
        agent: Agent,
        pool: PoolId,
        permissions: tuple[str, ...] = ALL_PERMISSIONS,
        *,
        prev: Digest | None = None,
        not_after_s: int = 0,
    ) -> agents.AgentRow:
        record = Delegation(owner.id, agent.keys.kid, not_after_s, permissions, pool, prev)
        command = CreateDelegation(statement=wire(sign_delegation(record, owner.keys)))
        return self.write(
            lambda uow: agents.create_delegation(uow, owner.caller, owner.id, command, self.now_ms)
        )

    def revoke(self, owner: Member, agent: Agent, prev: Digest | None) -> agents.AgentRow:
        record = Revocation(owner.id, agent.keys.kid, prev)
        command = RevokeDelegation(statement=wire(sign_revocation(record, owner.keys)))
        return self.write(
            lambda uow: agents.revoke_delegation(
                uow, owner.caller, owner.id, agent.keys.kid, command, self.now_ms
            )
        )

    def beat(self, agent: Agent, driver: str = "") -> agents.AgentRow:
        """Let an agent be heard, with its pool's driver if none is named."""
        driver = driver or self._driver_of(agent)
        command = Heartbeat(version="1", driver=driver, scope=agent.scope, instances=0)
        return self.write(
            lambda uow: agents.heartbeat(uow, agent.caller, agent.provider, command, self.now_ms)
        )

    def _driver_of(self, agent: Agent) -> str:
        def look(uow: UnitOfWork) -> str:
            found = uow.providers.delegation(agent.provider, agent.keys.kid)
            pool = uow.providers.pool(found.pool) if found else None
            return pool.driver if pool else "fake"

        return self.read(look)

    def draft(self, shop: Shop, **changes: Any) -> Offering:
        offering_id = self.ids.new("o", self.now_ms)
        command = a_draft(shop, **changes)
        return self.write(
            lambda uow: offerings.create_offering(
                uow, shop.owner.caller, command, self.now_ms, offering_id
            )
        ).offering

    def publish(self, shop: Shop, draft: Offering) -> Offering:
        offer = Offer(shop.owner.id, draft.id, draft.n + 1, terms_hash(draft.terms))
        command = PublishOffering(statement=wire(sign_offer(offer, shop.owner.keys)))
        return self.write(
            lambda uow: offerings.publish_offering(
                uow, shop.owner.caller, draft.id, command, self.now_ms
            )
        ).offering

    def offering(self, shop: Shop, **changes: Any) -> Offering:
        return self.publish(shop, self.draft(shop, **changes))

    # tenants

    def order_of(self, tenant: Member, offering: Offering, **changes: Any) -> Order:
        hours = changes.get("hours", 10)
        own = tenant.id == offering.provider
        values: dict[str, Any] = {
            "account_id": tenant.id,
            "extends": None,
            "head": tenant.chain.pin,
            "hours": hours,
            "nonce": secrets.token_bytes(16),
            "not_after_s": self.now_ms // 1_000 + 600,
            "offer_digest": offering.offer_hash,
            "offering_id": offering.id,
            "provider": offering.provider,
            "recovery": "none",
            "renew": "no",
            "ssh_keys": (SSH_KEY,),
            "total_amount_minor": 0 if own else offering.price_minor_per_hour * hours,
            "total_asset": offering.asset.value,
        }
        return Order(**(values | changes))

    def order(
        self, tenant: Member, offering: Offering, pay: PayWith | None = CARD, **changes: Any
    ) -> Contract:
        order = self.order_of(tenant, offering, **changes)
        return self.place(tenant, sign_order(order, tenant.keys), pay)

    def place(
        self,
        tenant: Member,
        statement: Statement,
        pay: PayWith | None = CARD,
        caller: Caller | None = None,
    ) -> Contract:
        command = PlaceOrder(order=wire(statement), pay=pay)
        contract_id = ContractId(self.ids.new("c", self.now_ms))
        return self.write(
            lambda uow: orders.place_order(
                uow, caller or tenant.caller, command, self.now_ms, contract_id, FEE_PPM
            )
        )

    def extend(
        self,
        tenant: Member,
        contract: Contract,
        offering: Offering,
        pay: PayWith | None = CARD,
        **changes: Any,
    ) -> Contract:
        changes = {"extends": contract.digest} | changes
        order = self.order_of(tenant, offering, **changes)
        return self.send_extension(tenant, contract, sign_order(order, tenant.keys), pay)

    def send_extension(
        self, tenant: Member, contract: Contract, statement: Statement, pay: PayWith | None = CARD
    ) -> Contract:
        command = ExtendContract(order=wire(statement), pay=pay)
        return self.write(
            lambda uow: orders.extend_contract(
                uow, tenant.caller, contract.id, command, self.now_ms, FEE_PPM
            )
        )

    def cancel(self, tenant: Member, contract: Contract) -> Contract:
        command = EndContract(reason="changed my mind")
        return self.write(
            lambda uow: contracts.cancel(uow, tenant.caller, contract.id, command, self.now_ms)
        )

    def charge(
        self,
        contract: Contract,
        state: ChargeState = ChargeState.SUCCEEDED,
        payment: Payment | None = None,
        *,
        received_minor: int | None = None,
    ) -> Payment:
        """Tell a payment of the contract, the newest by default, what the processor says."""
        found = payment or self.payments(contract)[-1]
        amount_minor = found.amount_minor if received_minor is None else received_minor
        charge = Charge(f"ch_{found.id}", state, Money(amount_minor, found.asset))
        return self.write(lambda uow: payments.apply_charge(uow, found.id, charge, self.now_ms))

    # agents

    def lease(self, agent: Agent, contract: Contract) -> Assignment:
        command = TakeLease(scope=agent.scope)
        return self.write(
            lambda uow: assignments.take_lease(uow, agent.caller, contract.id, command, self.now_ms)
        )

    def renew(self, agent: Agent, contract: Contract, fence: int) -> Assignment:
        command = RenewLease(fence=fence)
        return self.write(
            lambda uow: assignments.renew_lease(
                uow, agent.caller, contract.id, command, self.now_ms
            )
        )

    def start_create(self, agent: Agent, contract: Contract, fence: int) -> Assignment:
        command = StartCreate(fence=fence, scope=agent.scope)
        return self.write(
            lambda uow: assignments.create_started(
                uow, agent.caller, contract.id, command, self.now_ms
            )
        )

    def report(
        self, agent: Agent, contract: Contract, command: ProvisioningReport
    ) -> reports.Reported:
        return self.write(
            lambda uow: reports.report(uow, agent.caller, contract.id, command, self.now_ms)
        )

    def health(
        self,
        agent: Agent,
        contract: Contract,
        observed: Observed,
        traffic: TrafficReport | None = None,
    ) -> reports.Reported:
        command = HealthReport(
            observed=observed, scope=agent.scope, observed_at_ms=self.now_ms, traffic=traffic
        )
        return self.write(
            lambda uow: reports.report_health(uow, agent.caller, contract.id, command, self.now_ms)
        )

    def success(
        self, agent: Agent, tenant: Member, contract: Contract, fence: int, n: int = 1
    ) -> ProvisionedReport:
        """What an agent reports of a machine that runs, with a credential that only the tenant can open."""
        access = Access("198.51.100.7", 22, "root", (HOST_KEY,), password="canary")
        subject = Subject(tenant.id, contract.provider, contract.digest, n)
        sealed = seal_credential(subject, access, agent.keys, tenant.chain.generation)
        return ProvisionedReport(
            fence=fence,
            scope=agent.scope,
            host="198.51.100.7",
            port=22,
            host_keys=(HOST_KEY,),
            credential=CredentialWire(
                ct=b64u.encode(sealed.ciphertext), gen=sealed.generation, n=n, suite=1, v=1
            ),
            instance=f"dc-{contract.id}",
        )

    def creating(self, agent: Agent, contract: Contract) -> int:
        """Lease and ask for leave to create; return the fence."""
        fence = self.lease(agent, contract).fence
        self.start_create(agent, contract, fence)
        return fence

    def provision(self, agent: Agent, tenant: Member, contract: Contract) -> reports.Reported:
        fence = self.creating(agent, contract)
        return self.report(agent, contract, self.success(agent, tenant, contract, fence))

    def paid(self, tenant: Member, offering: Offering, **changes: Any) -> Contract:
        """Order, and pay unless it is one's own."""
        contract = self.order(tenant, offering, **changes)
        if self.payments(contract):
            self.charge(contract)
        return self.contract(contract)

    def active(self, shop: Shop, tenant: Member, offering: Offering, **changes: Any) -> Contract:
        """Order, pay, provision, reach."""
        contract = self.paid(tenant, offering, **changes)
        self.provision(shop.agent, tenant, contract)
        return self.step(contract, ContractEvent.REACHED)

    # the platform

    def step(self, contract: Contract, event: ContractEvent) -> Contract:
        return self.write(
            lambda uow: steps.advance(
                uow, stored(uow, contract.id), event, actor="test", now_ms=self.now_ms
            )
        )

    def deadlines(self) -> None:
        """Apply every deadline that has passed, as the background does."""
        for due in self.read(lambda uow: uow.contracts.due(self.now_ms, 100)):
            self._apply_deadline(due.id)

    def _apply_deadline(self, id_: ContractId) -> None:
        self.write(lambda uow: contracts.apply_deadline(uow, id_, self.now_ms))

    # looking

    def contract(self, contract: Contract) -> Contract:
        return self.read(lambda uow: stored(uow, contract.id))

    def assignment(self, contract: Contract) -> Assignment:
        found = self.read(lambda uow: uow.assignments.get(contract.id))
        assert found is not None
        return found

    def payments(self, contract: Contract) -> tuple[Payment, ...]:
        return self.read(lambda uow: uow.payments.of_contract(contract.id))

    def refunds(self, contract: Contract) -> tuple[Refund, ...]:
        return self.read(lambda uow: uow.payments.refunds_of(contract.id))

    def terms(self, contract: Contract) -> tuple[Term, ...]:
        return self.read(lambda uow: uow.contracts.terms(contract.id))

    def history(self, contract: Contract) -> tuple[HistoryRow, ...]:
        return self.read(lambda uow: uow.contracts.history(contract.id))

    def free_units(self, offering: Offering) -> int:
        found = self.read(lambda uow: uow.offerings.get(offering.id))
        assert found is not None
        return found.available


def stored(uow: UnitOfWork, contract: ContractId) -> Contract:
    found = uow.contracts.get(contract)
    assert found is not None
    return found


def a_draft(shop: Shop, **changes: Any) -> OfferingDraft:
    values: dict[str, Any] = {
        "title": "Small",
        "kind": "container",
        "pool": shop.pool.id,
        "image": "dc-ssh",
        "cpu_milli": 500,
        "memory_mib": 256,
        "disk_gib": 1,
        "country": "CH",
        "asset": "USD",
        "price_minor_per_hour": "10",
        "stock": 3,
    }
    return convert(values | changes, OfferingDraft)


def wire(statement: Statement) -> StatementWire:
    return convert(statement.to_json(), StatementWire)


def failed(fence: int, *, left_behind: str = "") -> FailedReport:
    body = {"outcome": "failed", "fence": fence, "reason": "no_capacity"}
    return convert(body | {"left_behind": left_behind}, FailedReport)

"""People of a market with real keys: they sign, order, open and verify as their own software would."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.statements import (
    credential_from_wire,
    from_wire,
    to_wire,
    verified_chain,
)
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.catalog.terms import terms_hash
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import ChainState, Pin, begin, extend
from decent_cloud.domain.keys.credentials import Credential, Expected, open_credential
from decent_cloud.domain.keys.delegations import (
    Delegation,
    sign_delegation,
    verify_delegation,
)
from decent_cloud.domain.keys.devices import Device, DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.links import build_add, build_genesis
from decent_cloud.domain.keys.offers import Offer, sign_offer, verify_offer
from decent_cloud.domain.keys.orders import Order, sign_order
from decent_cloud.domain.keys.seeds import AccountSeed, seal_seed
from decent_cloud.domain.keys.statements import Statement, StatementType, cosign
from decent_cloud.kernel.clock import HOUR_MS, Clock
from decent_cloud.kernel.ids import AccountId, Digest, OfferingId, PoolId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import OfferingKind, Permission
from decent_cloud.wire.v1.accounts import (
    AccountView,
    AppendLink,
    BalancesView,
    BalanceView,
    ChainView,
    CreateAccount,
    SeedBoxWire,
    TrialBalanceView,
)
from decent_cloud.wire.v1.agents import CreateDelegation, DelegationView
from decent_cloud.wire.v1.contracts import (
    ContractsPage,
    ContractView,
    CredentialView,
    EndContract,
    ExtendContract,
    HistoryView,
    PayWith,
    PlaceOrder,
)
from decent_cloud.wire.v1.offerings import OfferingDraft, OfferingView, PublishOffering
from decent_cloud.wire.v1.providers import CreatePool, CreateProvider, PoolView, ProviderView

PERMISSIONS = tuple(sorted(each.value for each in Permission))
PATIENT = Limits(attempts=12, first_pause_s=0.1, longest_pause_s=0.5)


def new_keys() -> DeviceKeys:
    return DeviceKeys(secrets.token_bytes(32))


@dataclass(frozen=True, slots=True)
class SshPair:
    """A person's SSH key: the private part in OpenSSH form, the public line."""

    private: bytes = field(repr=False)
    public: str


def new_ssh_pair() -> SshPair:
    key = Ed25519PrivateKey.generate()
    return SshPair(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ),
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode(),
    )


class Person:
    """An account with one ordinary device and a recovery device."""

    def __init__(self, url: str, clock: Clock, limits: Limits = PATIENT) -> None:
        """Make the account over the API."""
        self.url = url
        self.clock = clock
        self.keys = new_keys()
        self.seed = AccountSeed(1, secrets.token_bytes(32))
        recovery = new_keys()
        members = sorted(
            (
                (self.keys.public(DeviceType.CLI, Rank.ORDINARY), self.keys),
                (recovery.public(DeviceType.RECOVERY, Rank.RECOVERY), recovery),
            ),
            key=lambda member: member[0].kid,
        )
        genesis = build_genesis(members, self.seed.public, secrets.token_bytes(16))
        self.chain: ChainState = begin(genesis)
        self.recovery = recovery
        boxes = tuple(self._box(device) for device in self.chain.active())
        with Transport(url, limits=limits) as unsigned:
            body = CreateAccount(genesis=to_wire(genesis), boxes=boxes)
            unsigned.write("POST", "/accounts", AccountView, body)
        self.api = Transport(url, DeviceAuth(self.id, self.keys, clock), limits=limits)

    @property
    def id(self) -> AccountId:
        return self.chain.account_id

    def chain_of(self, account: AccountId) -> ChainState:
        """Fetch and verify somebody's key chain."""
        return verified_chain(self.api.get(f"/accounts/{account}/chain", ChainView), account)

    def contract(self, contract: str) -> ContractView:
        return self.api.get(f"/contracts/{contract}", ContractView)

    def contracts(self, role: str) -> tuple[ContractView, ...]:
        return self.api.get("/contracts", ContractsPage, {"role": role, "limit": "100"}).items

    def history(self, contract: str) -> HistoryView:
        return self.api.get(f"/contracts/{contract}/history", HistoryView)

    def balances(self) -> tuple[BalanceView, ...]:
        return self.api.get("/accounts/me/balances", BalancesView).balances

    def credit_minor(self) -> int:
        """Return what can be spent on further rentals."""
        found = [each for each in self.balances() if each.account.startswith("credit/")]
        return sum(int(each.balance.amount_minor) for each in found)

    def books(self) -> TrialBalanceView:
        """Return the ledger's proof; the account must be the operator's."""
        return self.api.get("/admin/trial-balance", TrialBalanceView)

    def close(self) -> None:
        self.api.close()

    def _box(self, device: Device) -> SeedBoxWire:
        sealed = seal_seed(self.seed, self.chain.account_id, device)
        return SeedBoxWire(kid=device.kid, gen=self.seed.generation, box=b64u.encode(sealed))


class Tenant(Person):
    """Somebody who rents, with an SSH key of their own."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url, clock)
        self.ssh = new_ssh_pair()

    def sign(
        self,
        offering: OfferingView,
        hours: int = 1,
        extends: Digest | None = None,
        renew: str = "no",
    ) -> Statement:
        """Sign an order after checking that the provider signed the offer."""
        own = offering.provider == self.id
        if offering.offer is None:
            raise AssertionError("the offering was never published")
        provider = self.chain if own else self.chain_of(AccountId(offering.provider))
        offer = verify_offer(from_wire(offering.offer), provider)
        if offer.terms != terms_hash(offering.terms):
            raise AssertionError("the provider signed other terms")
        order = Order(
            account_id=self.id,
            extends=extends,
            head=Pin(self.chain.seq, self.chain.head),
            hours=hours,
            nonce=secrets.token_bytes(16),
            not_after_s=(self.clock.now_ms() + HOUR_MS) // 1_000,
            offer_digest=offer.digest,
            offering_id=OfferingId(offering.id),
            provider=AccountId(offering.provider),
            recovery="none",
            renew=renew,
            ssh_keys=(self.ssh.public,),
            total_amount_minor=0 if own else int(offering.price_per_hour.amount_minor) * hours,
            total_asset=offering.price_per_hour.asset.value,
        )
        return sign_order(order, self.keys)

    def rent(
        self, offering: OfferingView, hours: int = 1, card: str = "test-ok", renew: str = "no"
    ) -> ContractView:
        """Order and pay with a sandbox card (nothing to pay for an own offering)."""
        own = offering.provider == self.id
        pay = None if own else PayWith(method="sandbox", card=card)
        order = to_wire(self.sign(offering, hours, renew=renew))
        body = PlaceOrder(order=order, pay=pay)
        return self.api.write("POST", "/contracts", ContractView, body)

    def extend(
        self, contract: ContractView, offering: OfferingView, hours: int, card: str = "test-ok"
    ) -> ContractView:
        order = self.sign(offering, hours, extends=Digest(contract.digest))
        body = ExtendContract(order=to_wire(order), pay=PayWith(method="sandbox", card=card))
        return self.api.write("POST", f"/contracts/{contract.id}/extend", ContractView, body)

    def cancel(self, contract: str, reason: str = "") -> ContractView:
        path = f"/contracts/{contract}/cancel"
        return self.api.write("POST", path, ContractView, EndContract(reason=reason))

    def open_credential(self, contract: str) -> Credential:
        """Fetch the sealed credential, verify everything behind it, and open it."""
        view = self.api.get(f"/contracts/{contract}/credential", CredentialView)
        provider = AccountId(view.provider)
        chain = self.chain if provider == self.id else self.chain_of(provider)
        delegation = verify_delegation(from_wire(view.delegation), chain)
        expected = Expected(
            account_id=self.id,
            contract=Digest(self.contract(contract).digest),
            provider_chain=chain,
            delegated=frozenset({delegation.agent}),
            last=None,
        )
        return open_credential(credential_from_wire(view.credential), self.seed, expected)


class Provider(Tenant):
    """Somebody with machines: a pool, agents that may work in it, offerings."""

    def __init__(self, url: str, clock: Clock, driver: str = "fake") -> None:
        super().__init__(url, clock)
        self.api.write("POST", "/providers", ProviderView, CreateProvider(name="Shop"))
        self.pool = self.new_pool(driver)

    def new_pool(self, driver: str) -> str:
        body = CreatePool(name=f"pool {secrets.token_hex(4)}", driver=driver)
        return self.api.write("POST", "/pools", PoolView, body).id

    def add_agent(
        self, agent: DeviceKeys, pool: str, permissions: Iterable[str] = PERMISSIONS
    ) -> None:
        """Take an agent's device into the chain and let it work in a pool."""
        device = agent.public(DeviceType.AGENT, Rank.READER)
        link = build_add(self.chain.next_place, device, [agent])
        link = cosign(StatementType.LINK, link, self.keys)
        after = extend(self.chain, link)
        self.api.write("POST", "/accounts/me/chain", AccountView, AppendLink(link=to_wire(link)))
        self.chain = after
        delegation = Delegation(
            account_id=self.id,
            agent=agent.kid,
            not_after_s=0,
            permissions=tuple(sorted(permissions)),
            pool_id=PoolId(pool),
            prev=None,
        )
        body = CreateDelegation(statement=to_wire(sign_delegation(delegation, self.keys)))
        path = f"/providers/{self.id}/agent-delegations"
        self.api.write("POST", path, DelegationView, body)

    def list_offering(self, draft: OfferingDraft) -> OfferingView:
        """Write an offering and publish it."""
        made = self.api.write("POST", "/offerings", OfferingView, draft)
        return self.publish(made)

    def publish(self, offering: OfferingView) -> OfferingView:
        offer = Offer(
            account_id=self.id,
            offering_id=OfferingId(offering.id),
            version=offering.n + 1,
            terms=terms_hash(offering.terms),
        )
        body = PublishOffering(statement=to_wire(sign_offer(offer, self.keys)))
        return self.api.write("POST", f"/offerings/{offering.id}/publish", OfferingView, body)

    def terminate(self, contract: str, reason: str = "") -> ContractView:
        path = f"/contracts/{contract}/terminate"
        return self.api.write("POST", path, ContractView, EndContract(reason=reason))


def draft(**changes: object) -> OfferingDraft:
    """Return a small container's offering: 36 cents an hour, one cent in 100 s."""
    fields: dict[str, object] = {
        "title": "Small container",
        "kind": OfferingKind.CONTAINER,
        "image": "tiny",
        "cpu_milli": 100,
        "memory_mib": 64,
        "disk_gib": 0,
        "country": "CH",
        "asset": Asset.USD,
        "price_minor_per_hour": "36",
        "stock": 100,
    }
    return OfferingDraft(**{**fields, **changes})  # type: ignore[arg-type]

"""Orders: what a tenant's device signs, and the digest that names the contract ever after."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.keys import b64u, canonical
from decent_cloud.domain.keys.authority import check_account, check_head, verify_authority
from decent_cloud.domain.keys.canonical import MAX_INTEGER, Json
from decent_cloud.domain.keys.chain import ChainState, Pin
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    digest_of,
    sign_statement,
)
from decent_cloud.kernel.ids import AccountId, Digest, OfferingId

MAX_HOURS = 87_600
NONCE_BYTES = 16

_KEYS = (
    "acct",
    "extends",
    "head",
    "hours",
    "nonce",
    "not_after",
    "offer",
    "provider",
    "recovery",
    "renew",
    "ssh_keys",
    "total",
    "v",
)


@dataclass(frozen=True, slots=True)
class Order:
    """A signed wish for `hours` of an offer; `extends` names the contract that it prolongs.

    `head` is the tenant's chain as the signing device saw it; `not_after_s` is Unix seconds;
    `recovery` is `none` or `platform`, `renew` is `no` or `credit`.
    """

    account_id: AccountId
    extends: Digest | None
    head: Pin
    hours: int
    nonce: bytes
    not_after_s: int
    offer_digest: Digest
    offering_id: OfferingId
    provider: AccountId
    recovery: str
    renew: str
    ssh_keys: tuple[str, ...]
    total_amount_minor: int
    total_asset: str

    def to_json(self) -> dict[str, Json]:
        return {
            "acct": b64u.from_hex(self.account_id),
            "extends": "" if self.extends is None else b64u.from_hex(self.extends),
            "head": {"hash": b64u.from_hex(self.head.head), "seq": self.head.seq},
            "hours": self.hours,
            "nonce": b64u.encode(self.nonce),
            "not_after": self.not_after_s,
            "offer": {"hash": b64u.from_hex(self.offer_digest), "id": self.offering_id},
            "provider": b64u.from_hex(self.provider),
            "recovery": self.recovery,
            "renew": self.renew,
            "ssh_keys": list(self.ssh_keys),
            "total": {"amount_minor": self.total_amount_minor, "asset": self.total_asset},
            "v": 1,
        }

    @property
    def digest(self) -> Digest:
        """The hash of this order; that of a contract's first order is the contract's digest."""
        return digest_of(StatementType.ORDER, canonical.write(self.to_json()))

    @property
    def contract(self) -> Digest:
        """The digest of the contract that this order makes or extends."""
        return self.digest if self.extends is None else self.extends


def parse_order(value: Json) -> Order:
    """Read an order's payload.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _KEYS)
    fields.version()
    head = fields.inner("head", ("hash", "seq"))
    offer = fields.inner("offer", ("hash", "id"))
    total = fields.inner("total", ("amount_minor", "asset"))
    order = Order(
        account_id=fields.account("acct"),
        extends=fields.digest_or_none("extends"),
        head=Pin(head.count("seq"), head.digest("hash")),
        hours=fields.integer("hours", 1, MAX_HOURS),
        nonce=fields.raw("nonce", NONCE_BYTES),
        not_after_s=fields.integer("not_after"),
        offer_digest=offer.digest("hash"),
        offering_id=OfferingId(offer.text("id")),
        provider=fields.account("provider"),
        recovery=fields.choice("recovery", ("none", "platform")),
        renew=fields.choice("renew", ("no", "credit")),
        ssh_keys=fields.texts("ssh_keys"),
        total_amount_minor=total.integer("amount_minor", 0, MAX_INTEGER),
        total_asset=total.text("asset"),
    )
    if (order.total_amount_minor == 0) != (order.provider == order.account_id):
        raise BadShape("the total is zero exactly where provider and tenant are one account")
    return order


def sign_order(order: Order, keys: DeviceKeys) -> Statement:
    """Sign as a device of the tenant.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_order(order.to_json())
    return sign_statement(StatementType.ORDER, order.to_json(), [keys])


def verify_order(
    statement: Statement, tenant_chain: ChainState, *, first_seen: bool = True
) -> Order:
    """Verify a tenant's order and return it; times and prices are the caller's to judge.

    An order accepted before stays valid when its device is revoked later: with
    `first_seen=False` the device must have been active at the head that the order names.
    Errors: any `KeyRefused`; `UnknownHead` when this copy of the chain ends before that head.
    """
    value, signer = verify_authority(
        StatementType.ORDER, statement, tenant_chain, first_seen=first_seen
    )
    order = parse_order(value)
    check_account(order.account_id, tenant_chain)
    check_head(tenant_chain, order.head, signer, first_seen=first_seen)
    return order

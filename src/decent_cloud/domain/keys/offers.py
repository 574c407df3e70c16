"""Offers: a provider's signature under one version of an offering's public terms."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.keys import b64u, canonical
from decent_cloud.domain.keys.authority import check_account, verify_authority
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    digest_of,
    sign_statement,
)
from decent_cloud.kernel.ids import AccountId, Digest, OfferingId

_KEYS = ("acct", "id", "n", "terms", "v")


@dataclass(frozen=True, slots=True)
class Offer:
    """`version` counts from 1; `terms` is the SHA-256 of the terms in canonical JSON."""

    account_id: AccountId
    offering_id: OfferingId
    version: int
    terms: Digest

    def to_json(self) -> dict[str, Json]:
        return {
            "acct": b64u.from_hex(self.account_id),
            "id": self.offering_id,
            "n": self.version,
            "terms": b64u.from_hex(self.terms),
            "v": 1,
        }

    @property
    def digest(self) -> Digest:
        """The hash by which an order names this offer."""
        return digest_of(StatementType.OFFER, canonical.write(self.to_json()))


def parse_offer(value: Json) -> Offer:
    """Read an offer's payload.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _KEYS)
    fields.version()
    return Offer(
        account_id=fields.account("acct"),
        offering_id=OfferingId(fields.text("id")),
        version=fields.count("n", 1),
        terms=fields.digest("terms"),
    )


def sign_offer(offer: Offer, keys: DeviceKeys) -> Statement:
    """Sign as a device of the provider.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_offer(offer.to_json())
    return sign_statement(StatementType.OFFER, offer.to_json(), [keys])


def verify_offer(
    statement: Statement, provider_chain: ChainState, *, first_seen: bool = True
) -> Offer:
    """Verify a provider's offer and return it.

    Errors: any `KeyRefused`. `first_seen` as in `verify_authority`.
    """
    value, _ = verify_authority(
        StatementType.OFFER, statement, provider_chain, first_seen=first_seen
    )
    offer = parse_offer(value)
    check_account(offer.account_id, provider_chain)
    return offer

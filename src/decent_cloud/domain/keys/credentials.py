"""Credentials: signed by the provider's agent, sealed to the tenant's account."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256

from decent_cloud.domain.keys import b64u, canonical, hpke
from decent_cloud.domain.keys.access import Access, parse_access
from decent_cloud.domain.keys.boxes import box_context, pad, unpad
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState, Generation
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import CannotOpen, KeyRefused
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    parse_statement,
    sign_statement,
    verify_sole_signature,
)
from decent_cloud.kernel.ids import AccountId, Digest, Kid

SUITE = 1
MAX_SEALED_JSON_BYTES = 128 * 1024
_CREDENTIAL_BOX = b"dcx/credbox/v1\0"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a credential is bound to: tenant, provider, contract, and its number, from 1."""

    account_id: AccountId
    provider: AccountId
    contract: Digest
    number: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed credential as the server keeps it."""

    ciphertext: bytes
    generation: int
    number: int

    def to_json(self) -> dict[str, Json]:
        return {
            "ct": b64u.encode(self.ciphertext),
            "gen": self.generation,
            "n": self.number,
            "suite": SUITE,
            "v": 1,
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """The last credential of a contract that a device accepted; `inner` hashes the inner bytes."""

    number: int
    inner: Digest


@dataclass(frozen=True, slots=True)
class Expected:
    """What the opener knows from elsewhere: whose it is, which contract, who may have signed.

    `delegated` holds the agents with a live delegation; `last` is what this device accepted last.
    """

    account_id: AccountId
    contract: Digest
    provider_chain: ChainState
    delegated: Collection[Kid]
    last: Accepted | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """An opened and verified credential, with the signed statement that was inside."""

    subject: Subject
    access: Access
    agent: Kid
    inner: Statement = field(repr=False)

    @property
    def accepted(self) -> Accepted:
        """What the device remembers of it."""
        return Accepted(self.subject.number, _inner_digest(self.inner))


def sealed_from_json(value: object) -> Sealed:
    """Read a sealed credential out of an already decoded JSON body.

    Errors: `BadShape`, `NotCanonical`; any suite but 1 is refused.
    """
    fields = Fields(value, ("ct", "gen", "n", "suite", "v"))
    fields.version()
    fields.integer("suite", SUITE, SUITE)
    return Sealed(fields.raw("ct"), fields.count("gen", 1), fields.count("n", 1))


def parse_sealed(raw: bytes) -> Sealed:
    """Read a sealed credential from JSON bytes, which need not be canonical.

    Errors: `BadShape`, `NotCanonical`.
    """
    return sealed_from_json(canonical.read(raw, MAX_SEALED_JSON_BYTES))


def seal_credential(
    subject: Subject, access: Access, agent_keys: DeviceKeys, generation: Generation
) -> Sealed:
    """Sign as the agent and seal to a generation of the tenant's account, its newest one.

    Errors: `BadShape` for what no reader would take.
    """
    payload: Json = {
        "acct": b64u.from_hex(subject.account_id),
        "body": access.to_json(),
        "contract": b64u.from_hex(subject.contract),
        "n": subject.number,
        "provider": b64u.from_hex(subject.provider),
        "v": 1,
    }
    _parse_payload(payload)
    inner = sign_statement(StatementType.CREDENTIAL, payload, [agent_keys])
    return _seal(subject, inner, generation)


def open_credential(sealed: Sealed, seed: AccountSeed, expected: Expected) -> Credential:
    """Open a credential and check everything it says against what is expected.

    An agent must be active and delegated when its credential is first accepted; the one in
    `expected.last` stays valid after that.
    Errors: `CannotOpen` for every failure, without a reason: an answer must not be an oracle.
    """
    try:
        return _open(sealed, seed, expected)
    except KeyRefused:
        raise CannotOpen from None


def reseal_credential(
    sealed: Sealed, seed: AccountSeed, expected: Expected, newest: Generation
) -> Sealed:
    """Open and seal again to a newer generation of the same account; the agent's signature stays.

    Errors: `CannotOpen`.
    """
    credential = open_credential(sealed, seed, expected)
    return _seal(credential.subject, credential.inner, newest)


def _seal(subject: Subject, inner: Statement, generation: Generation) -> Sealed:
    context = box_context(
        _CREDENTIAL_BOX, subject.account_id, generation.number, subject.contract, subject.number
    )
    sealed = hpke.seal(pad(inner.encode()), generation.key, context)
    return Sealed(sealed, generation.number, subject.number)


def _open(sealed: Sealed, seed: AccountSeed, expected: Expected) -> Credential:
    last = expected.last
    if sealed.generation != seed.generation or (last and sealed.number < last.number):
        raise CannotOpen
    context = box_context(
        _CREDENTIAL_BOX, expected.account_id, sealed.generation, expected.contract, sealed.number
    )
    inner = parse_statement(unpad(seed.open(sealed.ciphertext, context)))
    agent = _verify_agent(
        inner, expected, known=last == Accepted(sealed.number, _inner_digest(inner))
    )
    subject, access = _parse_payload(canonical.parse(inner.payload))
    wanted = Subject(
        expected.account_id, expected.provider_chain.account_id, expected.contract, sealed.number
    )
    if subject != wanted:
        raise CannotOpen
    return Credential(subject, access, agent, inner)


def _parse_payload(value: Json) -> tuple[Subject, Access]:
    fields = Fields(value, ("acct", "body", "contract", "n", "provider", "v"))
    fields.version()
    subject = Subject(
        account_id=fields.account("acct"),
        provider=fields.account("provider"),
        contract=fields.digest("contract"),
        number=fields.count("n", 1),
    )
    return subject, parse_access(fields.value("body"))


def _verify_agent(inner: Statement, expected: Expected, *, known: bool) -> Kid:
    agents = [
        member.device
        for kid, member in expected.provider_chain.members.items()
        if member.device.is_agent
        and (known or (member.revoked_seq is None and kid in expected.delegated))
    ]
    return verify_sole_signature(StatementType.CREDENTIAL, inner, agents).kid


def _inner_digest(inner: Statement) -> Digest:
    return Digest(sha256(inner.encode()).hexdigest())

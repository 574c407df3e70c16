"""Statements: a canonical payload with the signatures of devices, each over a typed envelope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256

from decent_cloud.domain.keys import b64u, canonical
from decent_cloud.domain.keys.canonical import MAX_BYTES, Json
from decent_cloud.domain.keys.devices import Device, DeviceKeys
from decent_cloud.domain.keys.errors import BadShape, NotCanonical, WrongSigner
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.points import SIGNATURE_BYTES, verify_signature
from decent_cloud.kernel.ids import Digest, Kid


class StatementType(StrEnum):
    LINK = "dcx/link/v1"
    OFFER = "dcx/offer/v1"
    ORDER = "dcx/order/v1"
    CREDENTIAL = "dcx/cred/v1"
    LOG = "dcx/log/v1"
    DELEGATION = "dcx/deleg/v1"
    REVOCATION = "dcx/revoke/v1"
    PAYOUT_ADDRESS = "dcx/payto/v1"
    KEY_LIST = "dcx/sshkeys/v1"
    OPERATOR_PRICE = "dcx/price/v1"


@dataclass(frozen=True, slots=True)
class Signature:
    kid: Kid
    sig: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A payload as the bytes that were signed, and who signed; nothing is verified by its being."""

    payload: bytes
    signatures: tuple[Signature, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "p": b64u.encode(self.payload),
            "s": [{"k": one.kid, "sig": b64u.encode(one.sig)} for one in self.signatures],
        }

    def encode(self) -> bytes:
        return canonical.write(self.to_json())


def pae(statement_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed and hashed: type and payload, each with its length."""
    kind = statement_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def digest_of(statement_type: StatementType, payload: bytes) -> Digest:
    """Return the hash by which other statements name this one."""
    return Digest(sha256(pae(statement_type, payload)).hexdigest())


def statement_from_json(value: object) -> Statement:
    """Read a statement out of an already decoded JSON body.

    Errors: `BadShape`, `NotCanonical`; a repeated signer and more than 64 KiB are refused.
    """
    fields = Fields(value, ("p", "s"))
    statement = Statement(
        fields.raw("p"), tuple(_parse_signature(one) for one in fields.values("s"))
    )
    if len({one.kid for one in statement.signatures}) != len(statement.signatures):
        raise BadShape("a signer is repeated")
    if len(statement.encode()) > MAX_BYTES:
        raise NotCanonical("too long")
    return statement


def parse_statement(raw: bytes) -> Statement:
    """Read a statement from its canonical bytes.

    Errors: `BadShape`, `NotCanonical`.
    """
    return statement_from_json(canonical.parse(raw))


def _parse_signature(value: object) -> Signature:
    fields = Fields(value, ("k", "sig"))
    return Signature(fields.kid("k"), fields.raw("sig", SIGNATURE_BYTES))


def sign_statement(
    statement_type: StatementType, payload: Json, signers: Sequence[DeviceKeys]
) -> Statement:
    """Return the payload in canonical form, signed by each of these devices."""
    statement = Statement(canonical.write(payload), ())
    for keys in signers:
        statement = cosign(statement_type, statement, keys)
    return statement


def cosign(statement_type: StatementType, statement: Statement, keys: DeviceKeys) -> Statement:
    """Return the statement with one more signature, over the same payload bytes."""
    signed = Signature(keys.kid, keys.sign(pae(statement_type, statement.payload)))
    return replace(statement, signatures=(*statement.signatures, signed))


def signers_of(statement: Statement) -> frozenset[Kid]:
    return frozenset(one.kid for one in statement.signatures)


def verify_signatures(
    statement_type: StatementType, statement: Statement, allowed: Mapping[Kid, Device]
) -> None:
    """Verify every signature; each signer must be one of `allowed`.

    Errors: `WrongSigner`, `BadSignature`.
    """
    message = pae(statement_type, statement.payload)
    kids = signers_of(statement)
    if not kids <= allowed.keys() or len(kids) != len(statement.signatures):
        raise WrongSigner
    for one in statement.signatures:
        verify_signature(allowed[one.kid].sig, message, one.sig)


def verify_sole_signature(
    statement_type: StatementType, statement: Statement, allowed: Iterable[Device]
) -> Device:
    """Verify the one signature of a statement that has exactly one, and return who signed.

    Errors: `WrongSigner`, `BadSignature`.
    """
    by_kid = {device.kid: device for device in allowed}
    if len(statement.signatures) != 1:
        raise WrongSigner("exactly one device signs this")
    verify_signatures(statement_type, statement, by_kid)
    return by_kid[statement.signatures[0].kid]

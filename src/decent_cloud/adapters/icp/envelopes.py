"""Signed envelopes: a request's id and its exact bytes, known before anything is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from decent_cloud.adapters.icp import cbor, leb128
from decent_cloud.adapters.icp.errors import ReplyUnreadable
from decent_cloud.adapters.icp.hash_tree import separator
from decent_cloud.adapters.icp.signer import Signer
from decent_cloud.kernel.clock import MINUTE_MS

# Nodes take requests that expire within five minutes of their own time.
LASTS_MS = 4 * MINUTE_MS
_MS_NS = 1_000_000
_NONCE_BYTES = 32

Value = str | int | bytes | Sequence[object]


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """One call, ready to be stored and then sent, as often as need be: it runs at most once.

    `request_id` follows from the content; after `expires_at_ns` no node takes it any more.
    """

    canister: bytes
    request_id: bytes
    envelope: bytes = field(repr=False)
    expires_at_ns: int


def prepare_call(
    signer: Signer, canister: bytes, method: str, argument: bytes, *, now_ms: int, nonce: bytes
) -> PreparedCall:
    """Sign a call. Two calls that may both run need different nonces (up to 32 bytes)."""
    expires_at_ns = (now_ms + LASTS_MS) * _MS_NS
    content: dict[str, Value] = {
        "request_type": "call",
        "canister_id": canister,
        "method_name": method,
        "arg": argument,
        "sender": signer.principal,
        "ingress_expiry": expires_at_ns,
        "nonce": nonce[:_NONCE_BYTES],
    }
    envelope, request_id = _sealed(signer, content)
    return PreparedCall(canister, request_id, envelope, expires_at_ns)


def stored_call(canister: bytes, request_id: bytes, envelope: bytes) -> PreparedCall:
    """Take up a call that was stored earlier. Errors: ReplyUnreadable if the bytes are not that request."""
    content = cbor.decode_map(envelope).get("content")
    if not isinstance(content, Mapping) or hash_of_map(content) != request_id:
        raise ReplyUnreadable("a stored envelope is not the request it is stored as")
    return PreparedCall(canister, request_id, envelope, int(content["ingress_expiry"]))


def prepare_read_state(signer: Signer, request_id: bytes, now_ms: int) -> bytes:
    """Sign the question what became of a request; returns the envelope."""
    content: dict[str, Value] = {
        "request_type": "read_state",
        "paths": [[b"request_status", request_id]],
        "sender": signer.principal,
        "ingress_expiry": (now_ms + LASTS_MS) * _MS_NS,
    }
    return _sealed(signer, content)[0]


def _sealed(signer: Signer, content: Mapping[str, Value]) -> tuple[bytes, bytes]:
    request_id = hash_of_map(content)
    envelope = {
        "content": dict(content),
        "sender_pubkey": signer.public_key_der,
        "sender_sig": signer.sign(separator("ic-request") + request_id),
    }
    return cbor.encode(envelope), request_id


def hash_of_map(content: Mapping[str, object]) -> bytes:
    """Return the representation-independent hash: a request's id."""
    pairs = sorted(_sha256(key.encode()) + hash_of(value) for key, value in content.items())
    return _sha256(b"".join(pairs))


def hash_of(value: object) -> bytes:
    """Hash one value as its type demands. Errors: ReplyUnreadable for a type that requests do not have."""
    if isinstance(value, bytes):
        return _sha256(value)
    if isinstance(value, str):
        return _sha256(value.encode())
    if isinstance(value, int) and value >= 0:
        return _sha256(leb128.encode(value))
    if isinstance(value, Sequence):
        return _sha256(b"".join(hash_of(item) for item in value))
    raise ReplyUnreadable("a request holds a value that cannot be hashed")


def _sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()

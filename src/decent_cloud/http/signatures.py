"""Signed requests (RFC 9421): which headers prove who is calling, and how they are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

from decent_cloud.http.refusals import ClockSkew, SignatureRefused
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS, rfc3339
from decent_cloud.kernel.ids import AccountId, Kid

TAG = "dcx-http-v1"
COMPONENTS = ("@method", "@authority", "@path", "@query", "content-digest")
MAX_AGE_MS = 5 * MINUTE_MS
MAX_AHEAD_MS = 5 * SECOND_MS
# A nonce is kept for longer than its signature could be accepted.
NONCE_KEPT_MS = MAX_AGE_MS + MINUTE_MS

_KEYID = re.compile(r'keyid="([0-9a-f]{64})\.([A-Za-z0-9_-]{22})"')
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}")
_HOW = (
    f"sign {', '.join(COMPONENTS)} with ed25519, created, a fresh nonce (16 random bytes, base64url),"
    f' keyid "<account>.<kid>" and tag "{TAG}"'
)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A request as its signer saw it: the path and query as sent, headers by lower-case name."""

    method: str
    target: str  # raw path and query
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KeyId:
    """Whose key signed, as the request claims."""

    account: AccountId
    kid: Kid

    def __str__(self) -> str:
        return f"{self.account}.{self.kid}"


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified signature's parameters."""

    keyid: KeyId
    nonce: str
    created_ms: int

    @property
    def nonce_expires_ms(self) -> int:
        """Until when the nonce must be remembered."""
        return self.created_ms + NONCE_KEPT_MS


def is_signed(headers: Mapping[str, str]) -> bool:
    """Tell whether a request claims to be signed."""
    return "signature-input" in headers or "signature" in headers


def claimed_key(headers: Mapping[str, str]) -> KeyId:
    """Read whose key the request claims; raises SignatureRefused."""
    found = _KEYID.findall(headers.get("signature-input", ""))
    if len(found) != 1 or "signature" not in headers:
        raise SignatureRefused(f"the request is not signed as it must be: {_HOW}")
    account, kid = found[0]
    return KeyId(AccountId(account), Kid(kid))


def verify(
    message: SignedMessage, keyid: KeyId, public: bytes, *, origins: Sequence[str], now_ms: int
) -> Proof:
    """Verify the signature against the configured origins; the Host header is never believed.

    Errors: SignatureRefused, ClockSkew.
    """
    verifier = _Verifier(keyid, public, now_ms)
    reason = "no public origin is configured"
    for origin in origins:
        try:
            parameters = verifier.parameters_of(message, origin)
        except HTTPMessageSignaturesException as error:
            reason = str(error) or "it does not match this method, path, query, body and origin"
            continue
        nonce = parameters.get("nonce")
        if parameters.get("keyid") != str(keyid):
            break
        if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            raise SignatureRefused(f"the signature has no fresh nonce: {_HOW}")
        return Proof(keyid, nonce, int(parameters["created"]) * SECOND_MS)
    known = " or ".join(origins)
    raise SignatureRefused(f"the signature is refused ({reason}); it must name the origin {known}")


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, keyid: KeyId, public: bytes) -> None:
        self._keyid = str(keyid)
        self._public = Ed25519PublicKey.from_public_bytes(public)

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        return self._public if key_id == self._keyid else None

    def resolve_private_key(self, key_id: str) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]


class _Verifier(HTTPMessageVerifier):
    """The library's verifier with our clock, and with words that help whose clock is wrong."""

    def __init__(self, keyid: KeyId, public: bytes, now_ms: int) -> None:
        super().__init__(
            signature_algorithm=algorithms.ED25519, key_resolver=_OneKey(keyid, public)
        )
        self._now_ms = now_ms

    def parameters_of(self, message: SignedMessage, origin: str) -> Mapping[str, Any]:
        request = _Request(message.method, origin + message.target, message.headers)
        results = self.verify(
            request,
            expect_tag=TAG,
            require_components=COMPONENTS,
            body=message.body,
            max_age=timedelta(milliseconds=MAX_AGE_MS),
        )
        if len(results) != 1:
            raise SignatureRefused("send exactly one signature")
        return results[0].parameters

    def validate_created_and_expires(
        self, sig_input: Any, max_age: timedelta | None = None
    ) -> None:
        created_s, expires_s = sig_input.params.get("created"), sig_input.params.get("expires")
        if type(created_s) is not int:
            raise SignatureRefused(f"the signature does not say when it was created: {_HOW}")
        ahead_ms = created_s * SECOND_MS - self._now_ms
        if ahead_ms > MAX_AHEAD_MS:
            raise ClockSkew(
                f"the signing clock runs {ahead_ms // SECOND_MS} s ahead of ours"
                f" ({rfc3339(self._now_ms)}); set it right"
            )
        if -ahead_ms > MAX_AGE_MS:
            raise ClockSkew(
                f"the request was signed {-ahead_ms // SECOND_MS} s ago by our clock"
                f" ({rfc3339(self._now_ms)}), at most {MAX_AGE_MS // SECOND_MS} s count;"
                " sign it anew, or set the signing clock right"
            )
        if expires_s is not None and (
            type(expires_s) is not int or expires_s * SECOND_MS < self._now_ms
        ):
            raise ClockSkew("the signature says that it expired; sign the request anew")

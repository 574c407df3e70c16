"""Signs every request with a device's key as an HTTP message signature (RFC 9421)."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPSignatureKeyResolver,
    algorithms,
)

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.ids import AccountId

LABEL = "dc"
TAG = "dcx-http-v1"
COMPONENTS = ("@method", "@authority", "@path", "@query", "content-digest")
NONCE_BYTES = 16


def key_id(account: AccountId, keys: DeviceKeys) -> str:
    """Return the `keyid` that names a device of an account."""
    return f"{account}.{keys.kid}"


class DeviceAuth(httpx.Auth):
    """Signs as one device; each attempt of a request gets a new nonce and time.

    `offset_ms` is added to the clock: what the platform's clock is known to be ahead of ours.
    """

    requires_request_body = True

    def __init__(
        self,
        account: AccountId,
        keys: DeviceKeys,
        clock: Clock | None = None,
        offset_ms: int = 0,
    ) -> None:
        self.offset_ms = offset_ms
        self._key_id = key_id(account, keys)
        self._clock = clock or SystemClock()
        self._signer = HTTPMessageSigner(
            signature_algorithm=algorithms.ED25519, key_resolver=_OneKey(keys.ed25519)
        )

    def __repr__(self) -> str:
        return f"DeviceAuth({self._key_id})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add Content-Digest (also over an empty body), Signature-Input and Signature."""
        moment = datetime.fromtimestamp((self._clock.now_ms() + self.offset_ms) // 1_000, tz=UTC)
        self._signer.sign(
            _Message(request.method, str(request.url), request.headers),
            key_id=self._key_id,
            created=moment,
            nonce=b64u.encode(secrets.token_bytes(NONCE_BYTES)),
            tag=TAG,
            label=LABEL,
            body=request.content,
            covered_component_ids=COMPONENTS,
        )
        yield request


@dataclass(frozen=True, slots=True)
class _Message:
    """The three things the signature library reads of a request; headers are written in place."""

    method: str
    url: str
    headers: httpx.Headers


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:  # noqa: ARG002 - one device, one key
        return self._key

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:  # noqa: ARG002
        return self._key.public_key()

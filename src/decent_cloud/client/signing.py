"""Signs every request with a device's key as an HTTP message signature (RFC 9421).

The five covered components of our requests have one plain form each, so the signature base is
written here in a few lines: a tenth of the time that the general library takes, which verifies
ours in tests as it does on the server.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Generator

import httpx

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.ids import AccountId

LABEL = "dc"
TAG = "dcx-http-v1"
COMPONENTS = ("@method", "@authority", "@path", "@query", "content-digest")
NONCE_BYTES = 16
_COVERED = " ".join(f'"{name}"' for name in COMPONENTS)


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
        self._keys = keys
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"DeviceAuth({self._key_id})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add Content-Digest (also over an empty body), Signature-Input and Signature."""
        digest = f"sha-256=:{_base64(hashlib.sha256(request.content).digest())}:"
        params = self._params(b64u.encode(secrets.token_bytes(NONCE_BYTES)))
        signature = self._keys.sign(_base(request, digest, params))
        request.headers["Content-Digest"] = digest
        request.headers["Signature-Input"] = f"{LABEL}={params}"
        request.headers["Signature"] = f"{LABEL}=:{_base64(signature)}:"
        yield request

    def _params(self, nonce: str) -> str:
        created_s = (self._clock.now_ms() + self.offset_ms) // 1_000
        return (
            f'({_COVERED});created={created_s};keyid="{self._key_id}";alg="ed25519"'
            f';nonce="{nonce}";tag="{TAG}"'
        )


def _base(request: httpx.Request, digest: str, params: str) -> bytes:
    """Return the signature base: one line a component, the parameters last (RFC 9421, 2.5)."""
    url = request.url
    path, _, query = url.raw_path.decode("ascii").partition("?")
    values = (request.method.upper(), url.netloc.decode("ascii"), path, f"?{query}", digest)
    lines = [f'"{name}": {value}' for name, value in zip(COMPONENTS, values, strict=True)]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode("ascii")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")

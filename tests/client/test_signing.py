"""Requests carry a signature that the platform's rules accept, new for each attempt."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

from decent_cloud.client.signing import COMPONENTS, TAG, DeviceAuth
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.kernel.codec import Request
from decent_cloud.kernel.ids import AccountId
from tests.support.loopback import Asked, Reply, serving

ACCOUNT = AccountId("ab" * 32)
KEYS = DeviceKeys(b"\x07" * 32)


class Note(Request, frozen=True):
    text: str


class _Resolver(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        assert key_id == f"{ACCOUNT}.{KEYS.kid}"
        return Ed25519PublicKey.from_public_bytes(KEYS.sig)

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        raise AssertionError(key_id)


def verify(origin: str, asked: Asked) -> str:
    """Verify as a server does and return the nonce."""
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_Resolver())
    message = SimpleNamespace(
        method=asked.method, url=origin + asked.target, headers=dict(asked.headers)
    )
    result = verifier.verify(
        message,
        max_age=timedelta(minutes=5),
        expect_tag=TAG,
        require_components=COMPONENTS,
        body=asked.body,
    )
    assert "created" in result[0].parameters
    nonce = result[0].parameters["nonce"]
    assert isinstance(nonce, str)
    return nonce


def quick(origin: str, auth: DeviceAuth | None = None) -> Transport:
    return Transport(origin, auth or DeviceAuth(ACCOUNT, KEYS), sleep=lambda _s: None)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_every_method_is_signed_with_or_without_a_body(method: str) -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(body=b"null")

    with serving(answer) as origin:
        transport = quick(origin)
        if method == "GET":
            transport.get("/things/a%2Fb", object, {"q": "a b+c~*é", "since": "0"})
        else:
            transport.write(method, "/things", object, Note(text="héllo"))
            transport.write(method, "/things", object)
        transport.close()
        assert len({verify(origin, asked) for asked in seen}) == len(seen)
    assert all("content-digest" in asked.headers for asked in seen)


def test_a_lost_answer_is_retried_under_the_same_key_with_a_new_signature() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(body=b"null", cut=len(seen) < 3)

    with serving(answer) as origin:
        transport = quick(origin)
        transport.write("POST", "/things", object, Note(text="x"), key="k1")
        transport.close()
        nonces = {verify(origin, asked) for asked in seen}
    assert [asked.headers["idempotency-key"] for asked in seen] == ["k1"] * 3
    assert len(nonces) == 3
    assert len({asked.body for asked in seen}) == 1


def test_the_clock_offset_moves_the_signing_time() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(body=b"null")

    with serving(answer) as origin:
        ahead = quick(origin, DeviceAuth(ACCOUNT, KEYS, offset_ms=-3_600_000))
        ahead.get("/things", object)
        ahead.close()
        with pytest.raises(Exception, match=r"(?i)age|old|expired"):
            verify(origin, seen[0])


def test_secrets_do_not_show_in_repr() -> None:
    assert repr(DeviceAuth(ACCOUNT, KEYS)) == f"DeviceAuth({ACCOUNT}.{KEYS.kid})"
    assert Limits().attempts > 1

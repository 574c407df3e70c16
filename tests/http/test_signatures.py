"""Which signed requests are believed: each refusal says what is wrong, and nothing changes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from decent_cloud.client.signing import DeviceAuth
from decent_cloud.kernel.clock import SystemClock
from tests.support.people import PREFIX, Api, Person, idempotency, new_keys
from tests.support.platform import Platform


class FixedClock:
    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms


def _api(person: Person, offset_s: int) -> Api:
    clock = FixedClock(SystemClock().now_ms() + offset_s * 1_000)
    return Api(person.url, DeviceAuth(person.id, person.keys, clock))


def _signed(person: Person, method: str, path: str, body: bytes = b"") -> httpx.Request:
    """Return a request with its signature, to be tampered with and sent as it is."""
    headers = {"content-type": "application/json", **idempotency()} if body else {}
    request = person.api.http.build_request(method, PREFIX + path, content=body, headers=headers)
    return next(DeviceAuth(person.id, person.keys).auth_flow(request))


def _send(person: Person, request: httpx.Request) -> httpx.Response:
    return person.api.http.send(request, auth=None)


def _refused(answer: httpx.Response, code: str) -> Mapping[str, Any]:
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "www-authenticate" in answer.headers
    assert "date" in answer.headers
    problem: Mapping[str, Any] = answer.json()
    assert problem["code"] == code
    return problem


@pytest.mark.parametrize(
    ("offset_s", "word"),
    [(-310, "s ago by our clock"), (-3_600, "s ago by our clock"), (8, "ahead"), (600, "ahead")],
)
def test_a_wrong_clock_is_told_by_how_much(ada: Person, offset_s: int, word: str) -> None:
    problem = _refused(_api(ada, offset_s).get("/accounts/me"), "clock_skew")
    assert word in problem["detail"]


@pytest.mark.parametrize("offset_s", [-295, -5, 3])
def test_a_slightly_wrong_clock_is_fine(ada: Person, offset_s: int) -> None:
    assert _api(ada, offset_s).get("/accounts/me").status_code == 200


def test_a_signed_write_counts_once(ada: Person) -> None:
    body = b'{"display_name": "Ada"}'
    request = _signed(ada, "PUT", "/accounts/me/profile", body)
    assert _send(ada, request).status_code == 200
    _refused(_send(ada, request), "replayed_signature")


def test_a_refused_signature_burns_no_nonce(ada: Person) -> None:
    request = _signed(ada, "PUT", "/accounts/me/profile", b'{"display_name": "Ada"}')
    other = httpx.Request(
        request.method, request.url, headers=request.headers, content=b'{"display_name": "Eva"}'
    )
    other.headers["content-length"] = "23"
    _refused(_send(ada, other), "bad_request_signature")
    assert _send(ada, request).json()["display_name"] == "Ada"


@pytest.mark.parametrize(
    "path", ["/contracts?limit=1", "/contracts?limit=5&cursor=a", "/accounts/me", "/contracts/"]
)
def test_another_target_is_not_what_was_signed(ada: Person, path: str) -> None:
    request = _signed(ada, "GET", "/contracts?limit=5")
    request.url = httpx.URL(ada.url + PREFIX + path)
    _refused(_send(ada, request), "bad_request_signature")


def test_the_host_header_is_never_believed(ada: Person) -> None:
    stranger = Person("http://evil.example:80", ada.keys, ada.recovery, ada.seed, ada.chain)
    request = _signed(stranger, "GET", "/accounts/me")
    request.url = httpx.URL(ada.url + PREFIX + "/accounts/me")
    request.headers["host"] = "evil.example"
    problem = _refused(_send(ada, request), "bad_request_signature")
    assert ada.url in problem["detail"]


def test_an_unknown_or_removed_device_is_nobody(ada: Person, bob: Person) -> None:
    stranger = Api(ada.url, DeviceAuth(ada.id, new_keys()))
    _refused(stranger.get("/accounts/me"), "unauthenticated")
    crossed = Api(ada.url, DeviceAuth(bob.id, ada.keys))
    _refused(crossed.get("/accounts/me"), "unauthenticated")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("signature-input", ""),
        ("signature-input", "dc=()"),
        ("signature-input", 'dc=("@method");keyid="zz"'),
        ("signature-input", "dc=" + "(" * 500),
        ("signature", ""),
        ("signature", "dc=:AAAA:"),
        ("signature", "garbage"),
        ("content-digest", "sha-256=:AAAA:"),
        ("content-digest", ""),
    ],
)
def test_garbage_is_refused_with_words(ada: Person, header: str, value: str) -> None:
    request = _signed(ada, "GET", "/accounts/me")
    if value:
        request.headers[header] = value
    else:
        del request.headers[header]
    _refused(_send(ada, request), "bad_request_signature")


@pytest.mark.parametrize(
    "component", ['"@authority" ', '"content-digest"', '"@query" ', '"@path" ']
)
def test_every_component_must_be_covered(ada: Person, component: str) -> None:
    request = _signed(ada, "GET", "/accounts/me")
    request.headers["signature-input"] = request.headers["signature-input"].replace(component, "")
    _refused(_send(ada, request), "bad_request_signature")


@pytest.mark.parametrize("parameter", ["nonce", "created", "tag"])
def test_every_parameter_must_be_there(ada: Person, parameter: str) -> None:
    request = _signed(ada, "GET", "/accounts/me")
    parts = request.headers["signature-input"].split(";")
    kept = [part for part in parts if not part.startswith(parameter + "=")]
    request.headers["signature-input"] = ";".join(kept)
    _refused(_send(ada, request), "bad_request_signature")


def test_a_bad_signature_is_refused_on_a_public_route_too(ada: Person) -> None:
    request = _signed(ada, "GET", "/offerings")
    request.headers["signature"] = "dc=:" + "A" * 86 + "==:"
    _refused(_send(ada, request), "bad_request_signature")


def test_awkward_paths_and_queries_verify_as_sent(ada: Person) -> None:
    for path in (
        "/offerings?text=a%2Fb%20c%7E",
        "/offerings?text=a+b",
        "/offerings?text=%C3%BC*",
        "/accounts/%2e%2e",
        "/offerings?",
    ):
        answer = ada.api.http.get(PREFIX + path)
        assert answer.status_code in {200, 404}, answer.text


def test_nonces_are_kept_longer_than_their_signature_lives(ada: Person, platform: Platform) -> None:
    request = _signed(ada, "PUT", "/accounts/me/profile", b'{"display_name": "Ada"}')
    _send(ada, request)
    nonce = request.headers["signature-input"].split('nonce="')[1].split('"')[0]
    keyid = f"{ada.id}.{ada.keys.kid}"
    cleaned_ms = int(time.time() * 1_000) + 5 * 60_000
    platform.write(lambda uow: uow.requests.drop_before(cleaned_ms, 0))
    assert not platform.write(lambda uow: uow.requests.use_nonce(keyid, nonce, cleaned_ms))

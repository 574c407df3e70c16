"""The permission table names every route, and means what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.routes import HTTPRoute

from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.http.application import routes
from decent_cloud.http.permissions import PREFIX, RULES, WRITES, Who
from decent_cloud.kernel.status import Permission
from tests.support.people import ALL_PERMISSIONS, Api, Person, Shop, new_keys, new_shop
from tests.support.platform import Platform

_NAMES = {
    "{account}": "a" * 64,
    "{provider}": "a" * 64,
    "{rid}": "0" * 32,
    "{offering}": "o" + "0" * 26,
    "{contract}": "c" + "0" * 26,
    "{asset}": "ICP",
    "{quote}": "q" + "0" * 26,
    "{agent_pubkey}": "b" * 64,
}
_KEYS = sorted(RULES)


def _routes() -> Iterator[tuple[str, str]]:
    for route in routes().routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    if method != "OPTIONS":  # the framework's own answer: which methods there are
                        yield str(method), route.path_format
        else:
            yield "ANY", route.path


def _path(template: str) -> str:
    for name, value in _NAMES.items():
        template = template.replace(name, value)
    return template


def _ask(api: Api, method: str, template: str) -> Any:
    headers = {"Idempotency-Key": "0123456789"} if method in WRITES else {}
    return api.http.request(method, _path(template), headers=headers)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert sorted(_routes()) == _KEYS


def test_every_permission_of_an_agent_opens_something() -> None:
    used = {rule.permission for rule in RULES.values()}
    assert used >= set(Permission) - {Permission.RESET_PASSWORD}


@pytest.mark.parametrize(("method", "template"), _KEYS)
def test_without_a_signature_only_public_routes_open(
    method: str, template: str, nobody: Api
) -> None:
    answer = _ask(nobody, method, template)
    is_public = RULES[method, template].who is Who.PUBLIC
    assert (answer.status_code == 401) is not is_public
    if not is_public:
        assert answer.json()["code"] == "bad_request_signature"


@pytest.mark.parametrize(
    ("method", "template"), [key for key in _KEYS if RULES[key].who is Who.AGENT]
)
def test_a_device_is_no_agent(method: str, template: str, ada: Person) -> None:
    answer = _ask(ada.api, method, template)
    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"


@pytest.fixture(scope="module")
def crippled(platform: Platform) -> Shop:
    """A shop whose agent may nothing but reset passwords."""
    return new_shop(platform.url, (Permission.RESET_PASSWORD.value,))


@pytest.fixture(scope="module")
def unable_to_reset(platform: Platform) -> Shop:
    """A shop whose agent may everything but reset passwords."""
    rest = tuple(word for word in ALL_PERMISSIONS if word != Permission.RESET_PASSWORD.value)
    return new_shop(platform.url, rest)


@pytest.fixture(scope="module")
def able(platform: Platform) -> Shop:
    return new_shop(platform.url, ALL_PERMISSIONS)


@pytest.mark.parametrize(
    ("method", "template"),
    [key for key in _KEYS if RULES[key].who in {Who.DEVICE, Who.WRITER, Who.ADMIN}],
)
def test_an_agent_may_nothing_else(method: str, template: str, able: Shop) -> None:
    answer = _ask(able.agent, method, template)
    assert answer.status_code == 403
    assert answer.json()["code"] == "device_only"


_BODIES: dict[str, Any] = {
    "heartbeat": {"version": "1", "driver": "fake", "scope": "s", "instances": 0},
    "lease": {"scope": "s"},
    "renew": {"fence": 1},
    "create-started": {"fence": 1, "scope": "s"},
    "provisioning": {"outcome": "terminated", "scope": "s"},
    "password": {"outcome": "claimed", "scope": "s"},
    "ssh-keys": {"outcome": "claimed", "scope": "s"},
    "plan-checks": {"items": []},
    "health": {"observed": "running", "scope": "s", "observed_at_ms": 0},
}


@pytest.mark.parametrize(("method", "template"), [key for key in _KEYS if RULES[key].permission])
def test_an_agent_needs_the_permission_that_the_table_names(
    method: str, template: str, crippled: Shop, unable_to_reset: Shop
) -> None:
    resets = RULES[method, template].permission is Permission.RESET_PASSWORD
    shop = unable_to_reset if resets else crippled
    path = _path(template.replace("{provider}", shop.owner.id))
    body = _BODIES.get(path.rpartition("/")[2])
    headers = {"Idempotency-Key": "0123456789"} if method in WRITES else {}
    answer = shop.agent.http.request(method, path, json=body, headers=headers)
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "agent_not_allowed"


@pytest.mark.parametrize(
    ("method", "template"), [key for key in _KEYS if RULES[key].who is Who.WRITER]
)
def test_a_reading_device_writes_nothing(method: str, template: str, reader: Api) -> None:
    answer = _ask(reader, method, template)
    assert answer.status_code == 403
    assert answer.json()["code"] == "read_only_device"


@pytest.fixture(scope="module")
def reader(able: Shop) -> Api:
    keys = new_keys()
    assert able.owner.add_device(keys, DeviceType.PHONE, 2).status_code == 201
    return able.owner.api_of(keys)


def test_an_admin_is_made_on_the_servers_host_only(ada: Person, platform: Platform) -> None:
    path = "/admin/trial-balance"
    assert ada.api.get(path).status_code == 403
    platform.grant_admin(ada.id)
    assert ada.api.get("/accounts/me").json()["admin"]
    proof = ada.api.get(path).json()
    assert proof["rebuilt"]
    assert all(line["difference"]["amount_minor"] == "0" for line in proof["lines"])


def test_an_event_stream_takes_no_other_method(ada: Person) -> None:
    answer = ada.api.post("/contracts/c123/events")
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"


def test_the_prefix_is_the_one_that_clients_use() -> None:
    assert all(path.startswith(PREFIX) or path.count("/") == 1 for _, path in RULES)

"""Everything that passes between people, agent and server in whole rentals, read and sent again.

Invariants 4 (one effect), 6 (no secret anywhere) and 7 (every status word is a shared one).
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.agent.keys import load_keys
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.statements import to_wire
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys import b64u
from decent_cloud.kernel import codec, status
from decent_cloud.wire.v1.accounts import AccountView, SetProfile
from decent_cloud.wire.v1.assignments import ReportAnswer
from decent_cloud.wire.v1.contracts import ContractView, PayWith, PlaceOrder
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import Market, Shape, query
from devtools.processes import AgentProgram, free_port
from tests.journeys import convergence
from tests.support.http_proxy import HttpProxy, http_proxy
from tests.support.kept import kept_by_file

pytestmark = pytest.mark.journey

CANARY = "canary@sings.example"
# What changes with time and calls and tells nothing about a rental: nonces and answers, ticks, and what
# the agent, which goes on living, says with each heartbeat.
LIVELY = {
    "nonces",
    "answers",
    "platform",
    "jobs",
    "agent_presences",
    "agent_holdings",
    "plan_checks",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """A market whose whole traffic went through a proxy, after a rental that ended and one that runs."""

    market: Market
    proxy: HttpProxy
    agent: AgentProgram
    offering: OfferingView
    ended: str
    running: str
    password: str


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    shape = Shape(port=free_port(), proxy_port=free_port())
    folder = Path(tmp_path_factory.mktemp("heard"))
    with (
        Market(folder, shape) as market,
        http_proxy(("127.0.0.1", shape.port), shape.proxy_port) as proxy,
    ):
        agent = market.new_agent()
        agent.start()
        offering = market.offering()
        profile = SetProfile(display_name="Ada", email=CANARY)
        market.tenant.api.write("PUT", "/accounts/me/profile", AccountView, profile)
        ended = market.tenant.rent(offering).id
        market.wait_state(ended, "active")
        password = market.tenant.open_credential(ended).access.password
        market.provider.contracts("provider")
        convergence.ended(market, ended)
        running = market.tenant.rent(offering).id
        market.wait_state(running, "active")
        market.tenant.history(running)
        yield Heard(market, proxy, agent, offering, ended, running, password or "")


def test_every_request_sent_again_is_refused_or_changes_nothing(heard: Heard) -> None:
    """Later: webhooks of payment processors."""
    requests = [each for each in heard.proxy.requests if not each.path.endswith("/events")]
    assert len(requests) > 30
    before = _remembered(heard.market)
    answers = [_send(heard.market, each.raw) for each in requests]
    # A read may be read again; of a write, the signature is used up.
    signed = [
        answer
        for each, answer in zip(requests, answers, strict=True)
        if each.method != "GET" and b"signature-input:" in each.raw.lower()
    ]

    assert len(signed) > 15
    assert set(signed) == {401}
    assert _remembered(heard.market) == before


def test_one_signed_order_is_one_contract_under_any_key(heard: Heard) -> None:
    tenant = heard.market.tenant
    order = to_wire(tenant.sign(heard.offering))
    body = PlaceOrder(order=order, pay=PayWith(method="sandbox", card="test-ok"))
    first = tenant.api.write("POST", "/contracts", ContractView, body)
    for _ in range(3):
        assert _same_or_refused(heard, body, first.id)
    heard.market.wait_state(first.id, "active")

    digests = [each.digest for each in tenant.contracts("tenant")]
    assert digests.count(first.digest) == 1
    assert len([each for each in heard.market.charges() if first.id in each.key]) == 1
    convergence.ended(heard.market, first.id)


def test_every_report_told_again_changes_nothing(heard: Heard) -> None:
    market = heard.market
    reports = [
        each
        for each in heard.proxy.requests
        if each.route.endswith("/provisioning") and heard.ended.encode() in each.raw
    ]
    assert len(reports) == 2  # that it is up, and that it is gone
    auth = DeviceAuth(market.provider.id, load_keys(heard.agent.settings.key_file), market.clock)
    with Transport(market.url, auth) as agent:
        before = _remembered(market)
        for report in reports * 2:
            path = report.path.removeprefix("/api/v1")
            body = json.loads(report.body)
            answer = agent.write("PUT", path, ReportAnswer, body)
            assert (answer.contract_state.value, answer.desired.value) == ("cancelled", "absent")
    assert _remembered(market) == before


def test_no_secret_is_anywhere_but_with_the_tenant(heard: Heard) -> None:
    """Later: notifications, traces, pages.

    The machine's password is grepped for, the tenant's keys in each spelling, and a personal field.
    """
    tenant = heard.market.tenant
    words = [heard.password.encode(), *_spellings(tenant.seed.secret)]
    places = kept_by_file(heard.market.folder)
    assert {"platform/decent.db", "server.log", "agent1/journal.db", "agent1.log"} <= set(places)
    assert "platform/sandbox-processor.db" in places
    places["requests"] = b"".join(each.raw for each in heard.proxy.requests)
    places["answers"] = bytes(heard.proxy.answered)

    assert len(heard.password) > 16
    found = [name for name, raw in places.items() for word in words if word in raw]
    assert found == []
    personal = [name for name, raw in places.items() if CANARY.encode() in raw]
    # The person said it and was shown it; nobody else has it.
    assert set(personal) <= {"requests", "answers"}


def test_every_status_word_on_the_wire_is_a_shared_one(heard: Heard) -> None:
    """Later: pages, notifications, webhooks."""
    known = {
        word.value
        for enum in vars(status).values()
        if isinstance(enum, type) and issubclass(enum, StrEnum)
        for word in enum
    }
    names = ("state", "desired", "observed", "contract_state", "assignment_state", "to_state")
    seen = [word for value in _answers(heard) for word in _words(value, {*names, "from_state"})]

    assert len(seen) > 60
    # A contract's history begins with no state.
    assert set(seen) - known <= {""}
    assert {"requested", "accepted", "active", "cancelled", "settled", "confirmed"} <= set(seen)
    assert {"open", "bound", "running", "absent", "published"} <= set(seen)


def _same_or_refused(heard: Heard, body: PlaceOrder, first: str) -> bool:
    try:
        again = heard.market.tenant.api.write("POST", "/contracts", ContractView, body)
    except ApiProblem as refused:
        return refused.status == 409
    return again.id == first


def _spellings(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), b64u.encode(secret).encode()]


def _remembered(market: Market) -> dict[str, str]:
    """Return a hash of each table of the server's database that a rental lives in."""
    file = market.data / "decent.db"
    tables = [
        str(row[0])
        for row in query(file, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
    ]
    found = {}
    for table in tables:
        if table in LIVELY or table.startswith("sqlite_"):
            continue
        rows = sorted(map(repr, query(file, f"SELECT * FROM {table}")))
        found[table] = f"{len(rows)} {hashlib.sha256(repr(rows).encode()).hexdigest()}"
    return found


def _send(market: Market, raw: bytes) -> int:
    """Send a request's bytes as they are, past the proxy, and return the status of the answer."""
    host, port = market.server.settings.address
    with socket.create_connection((host, port), timeout=10) as wire:
        wire.sendall(raw)
        answer = wire.recv(65_536)
    return int(answer.split(b" ", 2)[1])


def _answers(heard: Heard) -> Iterator[Any]:
    """Return each JSON body that the server sent, the signed state's content too."""
    text = bytes(heard.proxy.answered).decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    for start in re.finditer(r"\r\n\r\n(?=\{)|data: (?=\{)", text):
        try:
            value, _ = decoder.raw_decode(text, start.end())
        except json.JSONDecodeError:
            continue  # answers of several connections lie between each other here
        yield value
        if isinstance(value, dict) and set(value) == {"payload", "sig"}:
            yield codec.from_json(b64u.decode(value["payload"]), dict)


def _words(value: Any, names: set[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names and isinstance(inner, str):
                yield inner
            else:
                yield from _words(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner, names)

"""Event streams: resumable, bounded, ended when their caller loses its right or the server stops."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from decent_cloud.app.ports.outbox import Event
from decent_cloud.domain.keys.delegations import Revocation, sign_revocation
from decent_cloud.http.metrics import Metrics
from decent_cloud.http.streams import Signal, Subscription
from decent_cloud.programs.server import Ports
from decent_cloud.programs.server_settings import ServerSettings
from tests.support.market import OpenDoor, publish, rent, until
from tests.support.people import PREFIX, Api, Person, Shop, new_person, new_shop
from tests.support.platform import Platform, running_platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose streams beat fast and allow two streams an identity."""
    folder = Path(tmp_path_factory.mktemp("streams"))
    settings = ServerSettings(
        data=str(folder), listen="127.0.0.1:0", stream_heartbeat_s=0.1, streams_per_identity=2
    )
    with running_platform(folder, Ports(reach=OpenDoor()), settings) as running:
        yield running


class Listening:
    """An open stream, read event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, str, Any]:
        """Return (id, event, data) of the next event, heartbeats passed over."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line:
                if "data" in found:
                    return found.get("id", ""), found["event"], json.loads(found["data"])
                found = {}
            elif not line.startswith(":"):
                key, _, value = line.partition(": ")
                found[key] = value
        raise EOFError

    def drained(self) -> bool:
        """Read to the end of the stream."""
        with contextlib.suppress(EOFError):
            while True:
                self.next()
        return True


@contextlib.contextmanager
def listening(api: Api, path: str, last: str = "") -> Iterator[Listening]:
    headers = {"Last-Event-ID": last} if last else {}
    with api.http.stream("GET", PREFIX + path, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream"
        yield Listening(response)


def test_an_agent_hears_of_work_at_once(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    with listening(shop.agent, "/agents/me/events") as stream:
        seq, event, data = stream.next()
        assert event == "hello"
        assert data["pool"] == shop.pool
        contract = rent(ada, offering)
        began = time.monotonic()
        hint_seq, event, data = stream.next()
        assert event == "hint"
        assert data["contract"] == contract["id"]
        assert int(hint_seq) > int(seq)
        assert time.monotonic() - began < 2


def test_a_stream_goes_on_where_it_broke(ada: Person, shop: Shop) -> None:
    contract = rent(ada, publish(shop))
    path = f"/contracts/{contract['id']}/events"
    with listening(ada.api, path) as stream:
        seq, event, data = stream.next()
        assert (event, data["event"]) == ("contract", "state")
    until(ada, contract["id"], "accepted")
    ada.api.post(f"/contracts/{contract['id']}/cancel", {"reason": "enough"})
    with listening(ada.api, path, last=seq) as stream:
        assert stream.next()[2]["event"] == "state"
        last, _, data = stream.next()
        while data["event"] != "cancelled":
            last, _, data = stream.next()
        assert (data["state"], data["reason"]) == ("cancelled", "enough")
        assert int(last) > int(seq)


def test_a_resume_point_of_another_database_means_read_again(ada: Person, shop: Shop) -> None:
    with listening(shop.agent, "/agents/me/events", last="999999999999") as stream:
        assert stream.next()[1] == "hello"
        assert stream.next()[1] == "reset"


def test_the_other_side_listens_and_a_stranger_does_not(
    ada: Person, bob: Person, shop: Shop
) -> None:
    contract = rent(ada, publish(shop))
    path = f"/contracts/{contract['id']}/events"
    with listening(shop.owner.api, path) as stream:
        assert stream.next()[2]["contract"] == contract["id"]
    assert bob.api.get(path).status_code == 404


def test_a_revoked_agents_stream_ends(shop: Shop) -> None:
    owner = shop.owner
    path = f"/providers/{owner.id}/agent-delegations"
    digest = owner.api.get(path).json()["items"][0]["digest"]
    with listening(shop.agent, "/agents/me/events") as stream:
        assert stream.next()[1] == "hello"
        record = Revocation(owner.id, shop.agent_keys.kid, digest)
        body = {"statement": sign_revocation(record, owner.keys).to_json()}
        pubkey = shop.agent_keys.sig.hex()
        revoked = owner.api.write("DELETE", f"{path}/{pubkey}", body)
        assert revoked.status_code == 200, revoked.text
        assert revoked.json()["revoked"]
        assert stream.drained()
    assert shop.agent.get("/agents/me/events").json()["code"] == "agent_not_allowed"
    assert shop.agent.get("/agents/me").json()["code"] == "agent_not_allowed"


def test_an_identity_has_so_many_streams(shop: Shop, platform: Platform) -> None:
    path = "/agents/me/events"
    with listening(shop.agent, path) as one, listening(shop.agent, path) as two:
        assert one.next()[1] == two.next()[1] == "hello"
        third = shop.agent.get(path)
        assert third.status_code == 429
        assert third.json()["code"] == "too_many_streams"
        assert int(third.headers["retry-after"]) > 0
    assert _opens_within(shop.agent, path, 5)


def test_streams_end_at_once_when_the_server_stops(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        platform = stack.enter_context(running_platform(tmp_path))
        shop = new_shop(platform.url)
        stream = stack.enter_context(listening(shop.agent, "/agents/me/events"))
        assert stream.next()[1] == "hello"
        took: list[float] = []

        def read_to_the_end() -> None:
            stream.drained()
            took.append(time.monotonic())

        reader = threading.Thread(target=read_to_the_end)
        reader.start()
        began = time.monotonic()
        platform.loop.call_soon_threadsafe(platform.server.close_streams)
        reader.join(5)
        assert took
        assert took[0] - began < 1
        assert new_person(platform.url).api.get("/accounts/me").status_code == 200


def test_a_client_that_falls_behind_is_told_to_read_again(platform: Platform) -> None:
    async def overflow() -> tuple[list[bool], list[Event | Signal]]:
        subscription = Subscription("s", "who", depth=2)
        fitted = [subscription.put(_event(number)) for number in range(1, 5)]
        heard = [await subscription.next(0) for _ in range(3)]
        return fitted, heard

    fitted, heard = platform.run(overflow())
    assert fitted == [True, True, False, True]
    assert heard[0] is Signal.RESET
    assert isinstance(heard[1], Event)
    assert heard[1].seq == 4
    assert heard[2] is Signal.NOTHING


def test_open_streams_are_counted(shop: Shop, platform: Platform) -> None:
    metrics: Metrics = platform.server.edge.metrics
    with listening(shop.agent, "/agents/me/events") as stream:
        stream.next()
        assert b"decent_streams 0.0" not in metrics.text()


def _opens_within(api: Api, path: str, timeout_s: float) -> bool:
    """Try until the server has noticed that the streams before were closed."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with api.http.stream("GET", PREFIX + path) as response:
            if response.status_code == 200:
                return True
        time.sleep(0.05)
    return False


def _event(seq: int) -> Event:
    return Event("s", "k", "x", {}, 0, seq)

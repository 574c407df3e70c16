"""Event streams resume from the last event, survive cuts, and end when they are closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from decent_cloud.client.errors import ApiProblem, Unreachable
from decent_cloud.client.events import EventStream, ServerEvent, parse
from decent_cloud.client.transport import Limits, Transport
from tests.support.loopback import Asked, Reply, serving


def test_events_are_read_as_the_standard_says() -> None:
    lines = [
        ": hb",
        "id: 1",
        "event: hint",
        "data: a",
        "data: b",
        "",
        "data:c",
        "",
        "",
        "id: 9",
        "",
    ]
    assert list(parse(lines)) == [
        ServerEvent("1", "hint", "a\nb"),
        ServerEvent("1", "message", "c"),
    ]


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(Unreachable, match="too long"):
        list(parse(["data: " + "x" * 1_000] * 400))


def test_a_cut_stream_resumes_after_the_last_event() -> None:
    asked_with: list[str] = []

    def answer(asked: Asked) -> Reply:
        asked_with.append(asked.headers.get("last-event-id", ""))
        number = len(asked_with)
        return Reply(chunks=iter([f"id: {number}\ndata: {number}\n\n".encode()]))

    with serving(answer) as origin:
        transport = Transport(origin, limits=Limits(silence_s=2))
        stream = EventStream(transport, "/events", "0")
        seen = []
        for event in stream:
            seen.append(event.data)
            if len(seen) == 3:
                stream.close()
        transport.close()
    assert seen == ["1", "2", "3"]
    assert asked_with == ["0", "1", "2"]


def test_closing_ends_a_stream_that_waits() -> None:
    silent = threading.Event()

    def quiet() -> Iterator[bytes]:
        yield b"event: hello\ndata: {}\n\n"
        silent.wait(20)

    with serving(lambda _asked: Reply(chunks=quiet())) as origin:
        transport = Transport(origin, limits=Limits(silence_s=20))
        stream = EventStream(transport, "/events")
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.extend(e.event for e in stream))
        thread.start()
        while not seen and not stream.connected:
            time.sleep(0.01)
        time.sleep(0.05)
        begun = time.monotonic()
        stream.close()
        thread.join(5)
        silent.set()
        transport.close()
    assert not thread.is_alive()
    assert time.monotonic() - begun < 2
    assert seen == ["hello"]


def test_a_stream_that_does_not_exist_is_an_error_and_no_loop() -> None:
    with (
        serving(lambda _asked: Reply(404, b"{}")) as origin,
        Transport(origin) as transport,
        pytest.raises(ApiProblem),
    ):
        next(iter(EventStream(transport, "/events")))

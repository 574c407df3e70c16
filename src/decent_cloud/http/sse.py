"""Server-sent events: one response that goes on, resumable by event id, ended when its caller loses its right."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from litestar.types import ASGIApp, Receive, Scope, Send

from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.http.call import Call
from decent_cloud.http.streams import Signal, Subscription
from decent_cloud.kernel.errors import DecentError

_log = structlog.get_logger(__name__)

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
HEARTBEAT = b": hb\n\n"
RESET = b"event: reset\ndata: {}\n\n"
_BACKLOG = 200
_SEQ_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Feed:
    """What a stream shows. `hello` opens it (given the newest seq); `recheck` raises once the caller may not listen."""

    stream: str
    hello: Callable[[UnitOfWork, int], bytes]
    render: Callable[[Event], bytes]
    recheck: Callable[[UnitOfWork], object]


def frame(event: str, data: bytes, seq: int | None = None) -> bytes:
    """Return one event; `data` is JSON, so it has no line breaks."""
    head = b"" if seq is None else b"id: %d\n" % seq
    return head + b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def stream(call: Call, feed: Feed) -> ASGIApp:
    """Return the response: the stream until the client leaves, the server stops or the caller loses its right.

    Errors, when it starts: TooManyStreams, TryLater while the server stops.
    """

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        subscription = call.edge.hub.open(feed.stream, call.identity)
        gone = asyncio.create_task(_until_gone(receive, subscription.close))
        try:
            after, opening = await call.read(lambda uow: _opening(uow, feed, _last_seen(scope)))
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            write = _writer(send)
            await write(opening)
            await _pump(call, feed, subscription, write, after)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            call.edge.hub.leave(subscription)

    return respond


async def _pump(
    call: Call,
    feed: Feed,
    subscription: Subscription,
    write: Callable[[bytes], Awaitable[None]],
    after: int,
) -> None:
    sent = await _catch_up(call, feed, write, after)
    while True:
        heard = await subscription.next(call.edge.hub.heartbeat_s)
        if heard is Signal.CLOSED:
            return
        if isinstance(heard, Event):
            if heard.seq > sent:
                await write(feed.render(heard))
                sent = heard.seq
            continue
        if not await _still_allowed(call, feed):
            return
        await write(RESET if heard is Signal.RESET else HEARTBEAT)


async def _catch_up(
    call: Call, feed: Feed, write: Callable[[bytes], Awaitable[None]], after: int
) -> int:
    """Send what happened after `after`; returns the last number sent."""
    while True:
        read = partial(_read_stream, stream=feed.stream, after=after)
        backlog = await call.read(read)
        if not backlog:
            return after
        await write(b"".join(feed.render(event) for event in backlog))
        after = backlog[-1].seq


def _read_stream(uow: UnitOfWork, stream: str, after: int) -> tuple[Event, ...]:
    return uow.outbox.read_stream(stream, after, _BACKLOG)


async def _still_allowed(call: Call, feed: Feed) -> bool:
    try:
        await call.read(feed.recheck)
    except DecentError as error:
        _log.info("stream ended", request_id=call.request_id, code=error.code)
        return False
    return True


def _opening(uow: UnitOfWork, feed: Feed, last_seen: int | None) -> tuple[int, bytes]:
    """Return where to go on, and the first bytes: hello, and a reset where the resume point is not ours."""
    newest = uow.outbox.last_seq()
    hello = feed.hello(uow, newest)
    if last_seen is None:
        return newest, hello
    if last_seen > newest:  # another database, or one that was rolled back
        return newest, hello + RESET
    return last_seen, hello


def _last_seen(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"last-event-id" and value.isdigit() and len(value) <= _SEQ_DIGITS:
            return int(value)
    return None


def _writer(send: Send) -> Callable[[bytes], Awaitable[None]]:
    async def write(chunk: bytes) -> None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    return write


async def _until_gone(receive: Receive, then: Callable[[], None]) -> None:
    # The first message is the empty request body, not a disconnect.
    while (await receive())["type"] != "http.disconnect":
        pass
    then()

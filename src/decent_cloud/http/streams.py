"""The hub that tails the outbox and hands events to open streams, each behind a bounded queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from enum import Enum

import structlog

from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import Database, Topic, UnitOfWork
from decent_cloud.http.metrics import Metrics
from decent_cloud.http.refusals import TooManyStreams
from decent_cloud.kernel.errors import TryLater

_log = structlog.get_logger(__name__)

_BATCH = 500
_RETRY_S = 30
# PostgreSQL shows a commit to readers of the log only once every older transaction is over, mostly a moment later.
_LOOK_AGAIN_S = (0.002, 0.005, 0.01, 0.02, 0.05)


class Signal(Enum):
    """What a stream can hear besides events."""

    NOTHING = "nothing"  # time to show that the stream lives
    RESET = "reset"  # events were lost: read everything again
    CLOSED = "closed"


class Subscription:
    """One open stream's end of the hub."""

    def __init__(self, stream: str, who: str, depth: int) -> None:
        self.stream = stream
        self.who = who
        self._depth = depth
        self._events: deque[Event] = deque()
        self._lost = False
        self._closed = False
        self._wake = asyncio.Event()

    def put(self, event: Event) -> bool:
        """Queue an event; a full queue is emptied and becomes one RESET. Tells whether it fitted."""
        fits = len(self._events) < self._depth
        if fits:
            self._events.append(event)
        else:
            self._events.clear()
            self._lost = True
        self._wake.set()
        return fits

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._wake.set()

    async def next(self, timeout_s: float) -> Event | Signal:
        """Wait for the next event or signal."""
        if not self._ready():
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout_s)
        if self._closed:
            return Signal.CLOSED
        if self._lost:
            self._lost = False
            return Signal.RESET
        return self._events.popleft() if self._events else Signal.NOTHING

    def _ready(self) -> bool:
        return self._closed or self._lost or bool(self._events)


class Hub:
    """Reads new outbox events once for all open streams of this process."""

    def __init__(
        self,
        db: Database,
        metrics: Metrics,
        *,
        poll_s: float = 1.0,
        heartbeat_s: float = 15.0,
        depth: int = 256,
        per_identity: int = 16,
        in_all: int = 20_000,
    ) -> None:
        self.heartbeat_s = heartbeat_s
        self._db = db
        self._metrics = metrics
        self._poll_s = poll_s
        self._depth = depth
        self._per_identity = per_identity
        self._in_all = in_all
        self._open: dict[str, set[Subscription]] = {}
        self._count: Counter[str] = Counter()
        self._position = 0
        self._closed = False

    async def start(self) -> None:
        """Note where the event log ends; streams opened from now on miss nothing."""
        self._position = await self._db.read(lambda uow: uow.outbox.last_seq())

    async def run(self) -> None:
        """Tail the event log until cancelled; a failing database is tried again."""
        listener = self._db.listen(Topic.OUTBOX)
        looks = len(_LOOK_AGAIN_S)
        try:
            while not self._closed:
                pause_s = _LOOK_AGAIN_S[looks] if looks < len(_LOOK_AGAIN_S) else self._poll_s
                woken = await listener.wait(pause_s)
                looks = 0 if woken else looks + 1
                try:
                    await self._drain()
                except Exception:  # noqa: BLE001 - the edge of a loop that must go on
                    _log.exception("stream hub cannot read the event log")
                    await asyncio.sleep(self._poll_s)
        finally:
            listener.close()

    def open(self, stream: str, who: str) -> Subscription:
        """Start listening to one stream; raises TooManyStreams, TryLater while the server stops."""
        if self._closed:
            raise TryLater("the server is stopping; connect again in a moment")
        if self._count[who] >= self._per_identity or self._count.total() >= self._in_all:
            raise TooManyStreams(retry_after_s=_RETRY_S)
        subscription = Subscription(stream, who, self._depth)
        self._open.setdefault(stream, set()).add(subscription)
        self._count[who] += 1
        self._metrics.streams.inc()
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a stream that ended."""
        listeners = self._open.get(subscription.stream, set())
        if subscription in listeners:
            listeners.discard(subscription)
            self._count[subscription.who] -= 1
            self._metrics.streams.dec()
        if not listeners:
            self._open.pop(subscription.stream, None)
        if self._count[subscription.who] <= 0:
            del self._count[subscription.who]

    def close(self) -> None:
        """End every stream; called from the signal handler, before the server waits for connections."""
        self._closed = True
        for listeners in self._open.values():
            for subscription in listeners:
                subscription.close()

    async def _drain(self) -> None:
        if not self._open:
            newest = await self._db.read(lambda uow: uow.outbox.last_seq())
            # A stream that opened meanwhile may have read its backlog before `newest`: then read on from here.
            if not self._open:
                self._position = newest
                return
        while events := await self._db.read(self._read):
            for event in events:
                self._position = event.seq
                for subscription in self._open.get(event.stream, ()):
                    if not subscription.put(event):
                        self._metrics.stream_resets.inc()
            if len(events) < _BATCH:
                return

    def _read(self, uow: UnitOfWork) -> tuple[Event, ...]:
        return uow.outbox.read(self._position, _BATCH)

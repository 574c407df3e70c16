"""How results and wake-ups reach event loops from the database's threads: one hand-over per loop and batch."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from decent_cloud.adapters.sql.unit import SqlUnit
from decent_cloud.app.ports.unit_of_work import Topic


@dataclass(frozen=True, slots=True)
class Waiting:
    """A unit of work that a caller waits for; a firm one was stale before and locks what it reads."""

    fn: Callable[[SqlUnit], Any]
    loop: AbstractEventLoop
    future: Future[Any]
    firm: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a unit ended: with a result, or with an error."""

    waiting: Waiting
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        """Hand the outcome to the caller, unless it went away; runs in the caller's loop."""
        if self.waiting.future.done():
            return
        if self.error is not None:
            self.waiting.future.set_exception(self.error)
        else:
            self.waiting.future.set_result(self.result)


class WakeListener:
    """Keeps the port `Listener`; `_woken` is the truth, the future only sleeps until it changes."""

    def __init__(self, wakes: Wakes, topic: Topic) -> None:
        self.topic = topic
        self._wakes = wakes
        self._woken = False
        self._sleeper: tuple[AbstractEventLoop, Future[None]] | None = None

    async def wait(self, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        with self._wakes.lock:
            if self._woken:
                self._woken = False
                return True
            sleeper = loop.create_future()
            self._sleeper = (loop, sleeper)
        try:
            await asyncio.wait((sleeper,), timeout=timeout_s)
        finally:
            with self._wakes.lock:
                self._sleeper = None
        with self._wakes.lock:
            woken, self._woken = self._woken, False
        return woken

    def close(self) -> None:
        self._wakes.forget(self)
        self._wakes.send((), {self.topic}, only=self)

    def wake(self) -> tuple[AbstractEventLoop, Callable[[], None]] | None:
        """Mark as woken; returns what to run in which loop. The caller holds the lock."""
        self._woken = True
        if self._sleeper is None:
            return None
        loop, sleeper = self._sleeper
        return loop, lambda: None if sleeper.done() else sleeper.set_result(None)


class Wakes:
    """The listeners of one database, and the way back into their loops."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._listeners: list[WakeListener] = []

    def listen(self, topic: Topic) -> WakeListener:
        """Return a new listener."""
        listener = WakeListener(self, topic)
        with self.lock:
            self._listeners.append(listener)
        return listener

    def forget(self, listener: WakeListener) -> None:
        """Wake this one no more."""
        with self.lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def send(
        self, outcomes: Iterable[Outcome], topics: set[Topic], only: WakeListener | None = None
    ) -> None:
        """Settle units and wake listeners; called after the commit, from any thread."""
        calls: dict[AbstractEventLoop, list[Callable[[], None]]] = {}
        for outcome in outcomes:
            calls.setdefault(outcome.waiting.loop, []).append(outcome.settle)
        if topics:
            with self.lock:
                for listener in [only] if only else self._listeners:
                    if listener.topic in topics and (call := listener.wake()):
                        calls.setdefault(call[0], []).append(call[1])
        for loop, todo in calls.items():
            if not loop.is_closed():
                try:
                    loop.call_soon_threadsafe(_run, todo)
                except RuntimeError:
                    # The loop closed between the two lines: nobody is left to be told.
                    continue


def _run(todo: list[Callable[[], None]]) -> None:
    for call in todo:
        call()

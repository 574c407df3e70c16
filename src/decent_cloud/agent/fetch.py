"""Fetches the desired state when a hint comes, and every `poll_s` in any case: hints may be lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable

import structlog

from decent_cloud.agent.desired import ALARM_UNNAMED, DesiredState
from decent_cloud.agent.journal import Journal
from decent_cloud.agent.records import MAY_EXIST, Alarm, Stage
from decent_cloud.agent.situation import Standing
from decent_cloud.client.events import EventStream, ServerEvent
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.agents import AgentEvent

_log = structlog.get_logger("dc-agent")

RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_NOT_NAMED_MATTERS = MAY_EXIST - {Stage.DESTROYING, Stage.QUARANTINED}


class Fetcher:
    """Runs in a thread of its own, so that a slow platform holds up no other work."""

    def __init__(
        self,
        desired: DesiredState,
        journal: Journal,
        clock: Clock,
        poll_s: float,
        changed: Callable[[Iterable[ContractId]], None],
    ) -> None:
        self._desired = desired
        self._journal = journal
        self._clock = clock
        self._poll_s = poll_s
        self._changed = changed
        self._condition = threading.Condition()
        self._wanted = True
        self._stopped = threading.Event()
        self._failures = 0

    def refetch(self) -> None:
        """Fetch now, or once more after the fetch that is under way."""
        with self._condition:
            self._wanted = True
            self._condition.notify()

    def stop(self) -> None:
        """End `run`."""
        with self._condition:
            self._stopped.set()
            self._condition.notify()

    def run(self) -> None:
        """Fetch until stopped."""
        pause_s = 0.0
        while True:
            with self._condition:
                if not self._wanted and not self._stopped.is_set():
                    self._condition.wait(pause_s)
                if self._stopped.is_set():
                    return
                self._wanted = False
            try:
                self.fetch()
            except DecentError as error:
                self._failures += 1
                _log.error("desired state", code=error.code, error=error.message)
            except Exception:  # noqa: BLE001 - a loop's edge
                if self._stopped.is_set():  # its connections are closed under it
                    return
                self._failures += 1
                _log.exception("desired state")
            pause_s = self._pause_s()

    def fetch(self) -> None:
        """Read the desired state once, and wake whom it concerns."""
        before = self._desired.standing
        changed = self._desired.refresh(self._clock.now_ms())
        standing = self._desired.standing
        trusted = standing is Standing.TRUSTED
        self._failures = 0 if trusted else self._failures + 1
        if standing is not before:
            _log.info("platform", standing=standing.value, before=before.value)
        if changed:
            self._changed(changed)
        if trusted:
            self._watch_unnamed()

    def _pause_s(self) -> float:
        full_s = self._poll_s
        if self._failures:
            full_s = min(full_s, RETRY_S[min(self._failures, len(RETRY_S)) - 1])
        return full_s * random.uniform(0.8, 1.0)  # noqa: S311 - jitter

    def _watch_unnamed(self) -> None:
        """A view that does not name what we hold removes nothing, but people should know."""
        missing = [
            each.contract
            for each in self._journal.instances()
            if each.stage in _NOT_NAMED_MATTERS and not self._named(each.contract)
        ]
        if not missing:
            self._journal.clear_alarm(ALARM_UNNAMED)
            return
        text = (
            f"the platform does not name {len(missing)} contracts whose machines are here"
            f" (first: {missing[0]}); nothing is removed"
        )
        self._journal.raise_alarm(Alarm(ALARM_UNNAMED, text, self._clock.now_ms()))

    def _named(self, contract: ContractId) -> bool:
        want = self._desired.want(contract)
        return want is not None and want.named


class Hints:
    """Follows the event stream; every event means: fetch now. Without it the fetcher still polls.

    `offered` is called when what the pool offers may have changed.
    """

    def __init__(
        self,
        open_stream: Callable[[], EventStream],
        refetch: Callable[[], None],
        offered: Callable[[], None] = lambda: None,
    ) -> None:
        self._open = open_stream
        self._refetch = refetch
        self._offered = offered
        self._stream: EventStream | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Follow until stopped."""
        while not self._stopped.is_set():
            try:
                self._stream = self._open()
                for event in self._stream:
                    if self._stopped.is_set():
                        return
                    self._refetch()
                    if _is_about_offerings(event):
                        self._offered()
            except DecentError as error:
                _log.warning("no hints", code=error.code, error=error.message)
            except Exception:  # noqa: BLE001 - a loop's edge
                _log.exception("no hints")
            self._stopped.wait(15)

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()
        if self._stream is not None:
            self._stream.close()


def _is_about_offerings(event: ServerEvent) -> bool:
    """Tell whether an event says so, or that others may have been missed."""
    if event.event != "hint":
        return True
    return codec.from_json(event.data, AgentEvent).kind == "offering"

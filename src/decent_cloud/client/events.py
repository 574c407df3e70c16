"""Follows an event stream of the platform: resumes where it broke, waits longer each time it fails."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx

from decent_cloud.client.errors import Unreachable
from decent_cloud.client.transport import Transport
from decent_cloud.kernel.errors import DecentError, Kind

MAX_LINE_CHARACTERS = 64 * 1024
MAX_DATA_CHARACTERS = 256 * 1024
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
_HOPELESS = frozenset({Kind.NOT_FOUND, Kind.INVALID})


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its number on the stream, its name and its data as text."""

    id: str
    event: str
    data: str


class EventStream:
    """One stream that is followed until closed; `close` may be called from another thread."""

    def __init__(self, transport: Transport, path: str, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.connected = False
        self.error = ""  # why the last connection failed, for a status display
        self._transport = transport
        self._path = path
        self._closed = threading.Event()
        self._socket: socket.socket | None = None

    def __iter__(self) -> Iterator[ServerEvent]:
        """Yield events for ever; a broken connection is made anew from the last event on.

        Errors: ApiProblem where trying again cannot help (no such stream).
        """
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                for event in self._once():
                    pause_s = FIRST_PAUSE_S
                    yield event
                self.error = "the platform closed the stream"
            except DecentError as error:
                if error.kind in _HOPELESS:
                    raise
                self.error = error.message
            finally:
                self.connected = False
            self._closed.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def close(self) -> None:
        """End the iteration, also one that waits for the platform."""
        self._closed.set()
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):  # gone already
                held.shutdown(socket.SHUT_RDWR)

    def _once(self) -> Iterator[ServerEvent]:
        with self._transport.stream(self._path, self.last_event_id) as response:
            self._socket = _socket_of(response)
            self.connected = True
            self.error = ""
            try:
                for event in parse(_lines(response), self.last_event_id):
                    if self._closed.is_set():
                        return
                    self.last_event_id = event.id
                    yield event
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise Unreachable(f"the event stream broke: {error}") from error
            finally:
                self._socket = None


def parse(lines: Iterable[str], last_id: str = "") -> Iterator[ServerEvent]:
    """Turn the lines of a stream into events; comments only keep the connection alive.

    Errors: Unreachable for a line or an event too long to be ours.
    """
    name, size = "", 0
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(last_id, name or "message", "\n".join(data))
            name, data, size = "", [], 0
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "data":
            size += len(value)
            if size > MAX_DATA_CHARACTERS:
                raise Unreachable("the event stream sent an event that is too long")
            data.append(value)


def _lines(response: httpx.Response) -> Iterator[str]:
    """Split the body into lines, refusing to buffer an endless one."""
    rest = ""
    for text in response.iter_text():
        *whole, rest = (rest + text).replace("\r\n", "\n").split("\n")
        yield from whole
        if len(rest) > MAX_LINE_CHARACTERS:
            raise Unreachable("the event stream sent a line that is too long")


def _socket_of(response: httpx.Response) -> socket.socket | None:
    network = response.extensions.get("network_stream")
    found = network.get_extra_info("socket") if network is not None else None
    return found if isinstance(found, socket.socket) else None

"""The engine's API: one client with deadlines, and the one place where its errors become ours."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    Rejected,
    TryLater,
)

T = TypeVar("T")

_STOP_GRACE_S = 3
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use|userland proxy: listen")
_PORT = re.compile(r":(\d+)(?:/tcp)?(?::| |$)")
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_BROKEN = re.compile(r"OCI runtime create failed|storage-opt|error setting rlimit", re.IGNORECASE)


class Missing(DriverError):
    """The engine says there is no such thing."""

    code = "docker_missing"


class Taken(DriverError):
    """The engine says that the name or the range is in use, or that the state forbids it."""

    code = "docker_taken"


class Engine:
    """Calls of the engine that this driver needs; raises Missing, Taken and the contract's errors.

    The client is made at the first call, so a driver can be built while the engine is down.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: Any = None

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def call(self, act: Callable[[Any], T], *, again: bool = False) -> T:
        """Run calls on the SDK's low-level client and translate what goes wrong.

        After a broken connection all are opened anew: others in the pool are as dead, when the
        engine restarted. `again` repeats once at once; for reads only.
        """
        try:
            return act(self._connected())
        except APIError as error:
            raise _from_status(error) from error
        except (requests.RequestException, DockerException) as error:
            broken = isinstance(error, requests.ConnectionError)
            if broken:
                self.close()
            if broken and again:
                return self.call(act)
            raise self._from_transport(error) from error

    def info(self) -> dict[str, Any]:
        """Return what the engine says of itself."""
        return self.call(lambda client: dict(client.info()), again=True)

    def anchor(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of the named volume, made with these where there is none.

        Read back after making: engines forget labels in the answer to a second create (seen: 20.10).
        """
        try:
            found = self._volume(name)
        except Missing:
            self.call(lambda client: client.create_volume(name, labels=dict(labels)))
            found = self._volume(name)
        return dict(found.get("Labels") or {})

    def _volume(self, name: str) -> dict[str, Any]:
        return self.call(lambda client: dict(client.inspect_volume(name)), again=True)

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Create a container and return its id; Taken where the name is."""

        def act(client: Any) -> str:
            response = client._post(
                client._url("/containers/create"), params={"name": name}, json=dict(body)
            )
            return str(client._result(response, json=True)["Id"])

        return self.call(act)

    def put(self, container: str, tar: bytes) -> None:
        """Unpack a tar at the container's root."""
        self.call(lambda client: client.put_archive(container, "/", tar))

    def get(self, container: str, path: str) -> bytes | None:
        """Return a path as tar; None where it is not there."""
        try:
            return self.call(lambda client: b"".join(client.get_archive(container, path)[0]))
        except Missing:
            return None

    def start(self, container: str) -> None:
        """Start it; starting a running one succeeds."""
        self.call(lambda client: client.start(container))

    def stop(self, container: str) -> None:
        """Stop it within a few seconds; stopping a stopped one succeeds."""
        self.call(lambda client: client.stop(container, timeout=_STOP_GRACE_S))

    def unpause(self, container: str) -> None:
        """Let a frozen one go on."""
        self.call(lambda client: client.unpause(container))

    def inspect(self, container: str) -> dict[str, Any] | None:
        """Return the container's record; None where the engine says there is none."""
        try:
            return self.call(lambda client: dict(client.inspect_container(container)), again=True)
        except Missing:
            return None

    def stats(self, container: str) -> dict[str, Any]:
        """Return what the engine counts of a running container; takes it a second."""
        return self.call(lambda client: dict(client.stats(container, stream=False)), again=True)

    def containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return a short record of each container with these labels, in one call, stopped ones too."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.call(
            lambda client: client.containers(all=True, filters={"label": wanted}), again=True
        )
        return [dict(each) for each in found]

    def remove(self, container: str, *, force: bool) -> None:
        """Remove it with its anonymous volumes; what is gone stays gone."""
        try:
            self.call(lambda client: client.remove_container(container, v=True, force=force))
        except Missing:
            return

    def run_in(
        self, container: str, command: list[str], stdin: bytes | None = None
    ) -> tuple[int, str]:
        """Run a short command inside, fed with `stdin`, and return its exit code and output."""
        code, raw = self._run_raw(container, command, stdin)
        return code, _text_of(raw)

    def run_raw(
        self, container: str, command: list[str], stdin: bytes | None = None
    ) -> tuple[int, bytes]:
        """Run a short command inside as `run_in` does, and return its output as it is."""
        code, raw = self._run_raw(container, command, stdin)
        return code, _said(raw)

    def _run_raw(
        self, container: str, command: list[str], stdin: bytes | None
    ) -> tuple[int, bytes]:

        def act(client: Any) -> tuple[int, bytes]:
            made = client.exec_create(container, command, stdin=stdin is not None)["Id"]
            stream = client.exec_start(made, socket=True)
            with stream._sock, contextlib.closing(stream._response):
                if stdin is not None:
                    stream._sock.sendall(stdin)
                    stream._sock.shutdown(socket.SHUT_WR)
                raw = self._read_all(stream._sock)
            return int(client.exec_inspect(made)["ExitCode"] or 0), raw

        return self.call(act)

    def _read_all(self, stream: socket.socket) -> bytes:
        """Read to the end within the deadline; the SDK's own reading has none."""
        stream.settimeout(self._timeout_s)
        raw = b""
        try:
            while chunk := stream.recv(65_536):
                raw += chunk
        except OSError as error:
            raise TryLater("a command inside a machine did not end in time") from error
        return raw

    def create_network(self, body: Mapping[str, Any]) -> None:
        """Create a network; Taken where its name, bridge or range is in use."""

        def act(client: Any) -> None:
            response = client._post(client._url("/networks/create"), json=dict(body))
            client._result(response, json=True)

        self.call(act)

    def inspect_network(self, name: str) -> dict[str, Any] | None:
        """Return the network's record; None where there is none."""
        try:
            return self.call(lambda client: dict(client.inspect_network(name)), again=True)
        except Missing:
            return None

    def networks(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the networks with these labels."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.call(lambda client: client.networks(filters={"label": wanted}), again=True)
        return [dict(each) for each in found]

    def remove_network(self, name: str) -> None:
        """Remove a network; what is gone stays gone."""
        try:
            self.call(lambda client: client.remove_network(name))
        except Missing:
            return

    def has_image(self, image: str) -> bool:
        """Tell whether the image is on the engine."""
        try:
            self.call(lambda client: client.inspect_image(image), again=True)
        except Missing:
            return False
        return True

    def import_image(self, repository: str, tag: str, tar: bytes, changes: list[str]) -> None:
        """Make an image of a root file system."""

        def act(client: Any) -> str:
            params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}
            headers = {"Content-Type": "application/tar"}
            url = client._url("/images/create")
            return str(client._result(client._post(url, data=tar, params=params, headers=headers)))

        if '"error"' in (said := self.call(act)):
            raise Broken(f"the engine does not take the image: {said[-300:]}")

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=self.url, version="auto", timeout=self._timeout_s
                )
            return self._client

    def _from_transport(self, error: Exception) -> DriverError:
        """Translate what happened below HTTP; the outcome of the call is unknown."""
        if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
            return TryLater(f"the engine did not answer within {self._timeout_s:g} s")
        if "Permission" in str(error):
            return AuthFailed(
                f"no permission on {self.url}; run the agent as root or in the socket's group"
            )
        return TryLater(f"no answer from the engine at {self.url}; is it running?")


def _from_status(error: APIError) -> DriverError:
    """Translate an answer of the engine."""
    said = str(error.explanation or error)[:500]
    status = error.status_code or 0
    if _PORT_TAKEN.search(said):
        found = _PORT.search(said)
        port = {"port": int(found[1])} if found else {}
        return NoCapacity(f"the host port is taken: {said}", **port)
    if _FULL.search(said):
        return NoCapacity(f"the engine's disk is full: {said}")
    if status == 404:
        return Missing(said)
    if status == 409 or (status == 403 and "overlap" in said) or "conflicts with network" in said:
        return Taken(said)
    if status in {401, 403}:
        return AuthFailed(said)
    if _BROKEN.search(said):
        return Broken(said)
    if status == 400:
        return Rejected(said)
    return TryLater(f"the engine answered {status}: {said}")


def _text_of(raw: bytes) -> str:
    """Return the text in the engine's frames."""
    return _said(raw).decode(errors="replace")


def _said(raw: bytes) -> bytes:
    """Take the engine's frames apart: a kind, three zeros, the length, what was said."""
    text, at = b"", 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        text += raw[at + 8 : at + 8 + size]
        at += 8 + size
    return text

"""The engine's API: one client with deadlines, and the one place where its errors become ours."""

from __future__ import annotations

import re
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

    def call(self, act: Callable[[Any], T]) -> T:
        """Run one or more calls on the SDK's low-level client and translate what goes wrong."""
        try:
            return act(self._connected())
        except APIError as error:
            raise _from_status(error) from error
        except requests.RequestException as error:
            raise self._from_transport(error) from error
        except DockerException as error:
            raise self._from_transport(error) from error

    def info(self) -> dict[str, Any]:
        """Return what the engine says of itself."""
        return self.call(lambda client: dict(client.info()))

    def anchor(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Make the named volume unless it is there; return the labels it has."""
        made = self.call(lambda client: client.create_volume(name, labels=dict(labels)))
        return dict(made.get("Labels") or {})

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
            return self.call(lambda client: dict(client.inspect_container(container)))
        except Missing:
            return None

    def containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return a short record of each container with these labels, in one call, stopped ones too."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.call(lambda client: client.containers(all=True, filters={"label": wanted}))
        return [dict(each) for each in found]

    def remove(self, container: str, *, force: bool) -> None:
        """Remove it with its anonymous volumes; what is gone stays gone."""
        try:
            self.call(lambda client: client.remove_container(container, v=True, force=force))
        except Missing:
            return

    def run_in(self, container: str, command: list[str]) -> tuple[int, str]:
        """Run a command inside and return its exit code and output."""

        def act(client: Any) -> tuple[int, str]:
            made = client.exec_create(container, command)["Id"]
            output = client.exec_start(made)
            return int(client.exec_inspect(made)["ExitCode"]), output.decode(errors="replace")

        return self.call(act)

    def create_network(self, body: Mapping[str, Any]) -> None:
        """Create a network; Taken where its name, bridge or range is in use."""

        def act(client: Any) -> None:
            response = client._post(client._url("/networks/create"), json=dict(body))
            client._result(response, json=True)

        self.call(act)

    def inspect_network(self, name: str) -> dict[str, Any] | None:
        """Return the network's record; None where there is none."""
        try:
            return self.call(lambda client: dict(client.inspect_network(name)))
        except Missing:
            return None

    def networks(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the networks with these labels."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.call(lambda client: client.networks(filters={"label": wanted}))
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
            self.call(lambda client: client.inspect_image(image))
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

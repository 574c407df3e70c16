"""A container made by hand with the Docker SDK: the least that a machine like a rented one costs."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any, Self

import docker

_NAME = "decent-bench"
_LABEL = "dev.decent.bench"
_BANNER_TIMEOUT_S = 20.0


class BareDocker:
    """Makes containers as a rented one was made, without an agent: same create call, secrets in the image.

    The network is made once beforehand, so what it costs to give each contract one is the agent's own.
    """

    def __init__(self, url: str, rented: str, port: int) -> None:
        """Copy what the container called `rented` was made of."""
        self._client: Any = docker.APIClient(base_url=url, version="auto", timeout=30)
        self._port = port
        self._config = self._copied(rented)

    def __enter__(self) -> Self:
        self._client.create_network(_NAME, driver="bridge", labels={_LABEL: "1"})
        return self

    def __exit__(self, *_raised: object) -> None:
        with suppress(docker.errors.NotFound):
            self._client.remove_container(_NAME, force=True)
        self._client.remove_network(_NAME)
        self._client.remove_image(_NAME, force=True)
        self._client.close()

    def create_start_banner_s(self) -> float:
        """Return how long create, start and the SSH banner took; the container is gone afterwards."""
        began = time.monotonic()
        made = self._client.create_container_from_config(self._config, _NAME)["Id"]
        self._client.start(made)
        wait_for_banner("127.0.0.1", self._port)
        took_s = time.monotonic() - began
        self._client.remove_container(made, v=True, force=True)
        return took_s

    def _copied(self, rented: str) -> dict[str, Any]:
        """Return the create call's body: the rented container's own limits, capabilities and command."""
        record = self._client.inspect_container(rented)
        self._client.commit(record["Id"], repository=_NAME, tag="latest")
        host = dict(record["HostConfig"])
        (binding,) = host["PortBindings"]["22/tcp"]
        host["PortBindings"] = {"22/tcp": [{**binding, "HostPort": str(self._port)}]}
        host["NetworkMode"] = _NAME
        return {
            "Image": _NAME,
            "Cmd": record["Config"]["Cmd"],
            "Hostname": _NAME,
            "Labels": {_LABEL: "1"},
            "ExposedPorts": {"22/tcp": {}},
            "HostConfig": host,
        }


def wait_for_banner(host: str, port: int) -> None:
    """Return as soon as an SSH server says who it is."""
    end = time.monotonic() + _BANNER_TIMEOUT_S
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((host, port), timeout=2) as found:
            if found.recv(8).startswith(b"SSH-"):
                return
        time.sleep(0.001)
    raise AssertionError(f"no SSH banner on port {port}")

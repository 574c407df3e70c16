"""What a Docker engine knows of a contract, asked beside the driver."""

from __future__ import annotations

import time
from typing import Any

import docker

from decent_cloud.drivers.contract import LABEL_CONTRACT


class Containers:
    """One engine, read with the engine's own client."""

    def __init__(self, url: str, since_s: int) -> None:
        """Read the engine's events from this moment on (Unix seconds)."""
        self._client: Any = docker.APIClient(base_url=url, version="auto", timeout=30)
        self._since_s = since_s

    def close(self) -> None:
        self._client.close()

    def there(self, contract: str) -> list[dict[str, Any]]:
        """Return the contract's containers, stopped ones too."""
        return list(self._client.containers(all=True, filters=_label(contract)))

    def networks(self, contract: str) -> list[dict[str, Any]]:
        """Return the contract's networks."""
        return list(self._client.networks(filters=_label(contract)))

    def started(self, contract: str) -> int:
        """Return how many different containers of a contract were ever started."""
        events = self._client.events(
            since=self._since_s,
            until=int(time.time()) + 1,
            filters={**_label(contract), "type": "container", "event": "start"},
            decode=True,
        )
        return len({event["id"] for event in events})


def _label(contract: str) -> dict[str, Any]:
    return {"label": [f"{LABEL_CONTRACT}={contract}"]}

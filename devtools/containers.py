"""What Docker engines know of a contract, asked beside the driver."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import docker

from decent_cloud.drivers.contract import LABEL_CONTRACT


class Containers:
    """All that some engines hold, read with the engine's own client."""

    def __init__(self, urls: Iterable[str], since_s: int) -> None:
        """Read the engines' events from this moment on (Unix seconds)."""
        self._clients: list[Any] = [
            docker.APIClient(base_url=url, version="auto", timeout=30) for url in urls
        ]
        self._since_s = since_s

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def there(self, contract: str) -> list[dict[str, Any]]:
        """Return the contract's containers, stopped ones too."""
        label = _label(contract)
        return [each for one in self._clients for each in one.containers(all=True, filters=label)]

    def networks(self, contract: str) -> list[dict[str, Any]]:
        """Return the contract's networks."""
        label = _label(contract)
        return [each for one in self._clients for each in one.networks(filters=label)]

    def started(self, contract: str) -> int:
        """Return how many different containers of a contract were ever started."""
        filters = {**_label(contract), "type": "container", "event": "start"}
        until_s = int(time.time()) + 1
        return len(
            {
                event["id"]
                for one in self._clients
                for event in one.events(
                    since=self._since_s, until=until_s, filters=filters, decode=True
                )
            }
        )


def _label(contract: str) -> dict[str, Any]:
    return {"label": [f"{LABEL_CONTRACT}={contract}"]}

"""Starts the server again whenever it dies, as a service manager would, and lets its jobs' leases run out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from decent_cloud.jobs.runner import LEASE_MS
from devtools.market import Market


@contextlib.contextmanager
def resurrected(market: Market, kill_at: str) -> Iterator[threading.Event]:
    """Restart the server so that it dies at a step, and start it anew as it did; the event tells that it died."""
    market.server.kill()
    died, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def watch() -> None:
        while not over.is_set():
            if market.server.running:
                over.wait(0.005)
                continue
            died.set()
            try:
                market.pass_time(LEASE_MS + 1_000)
                market.server.start()
            except BaseException as error:
                failed.append(error)
            return

    market.server.start(kill_at)
    watcher = threading.Thread(target=watch, name="resurrection")
    watcher.start()
    try:
        yield died
    finally:
        over.set()
        watcher.join()
    if failed:
        raise failed[0]

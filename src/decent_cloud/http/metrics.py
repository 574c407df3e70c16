"""What can be counted about this process, for Prometheus."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from decent_cloud.kernel.status import PriceState

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The meters of one server, in a registry of their own so that two servers in one process keep apart."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "decent_http_requests_total",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "decent_http_request_seconds",
            "Time from the first byte to the answer, streams left out.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.streams = Gauge("decent_streams", "Open event streams.", registry=self.registry)
        self.stream_resets = Counter(
            "decent_stream_resets_total",
            "Streams told to read again because they fell behind.",
            registry=self.registry,
        )
        self.ready = Gauge("decent_ready", "1 if the last check passed.", registry=self.registry)
        self._states = Gauge(
            "decent_records",
            "Records by kind and state.",
            ("kind", "state"),
            registry=self.registry,
        )

        self._price_age = Gauge(
            "decent_price_age_seconds",
            "Age of the last price that a round accepted; absent while there never was one.",
            ("asset",),
            registry=self.registry,
        )
        self._price_state = Gauge(
            "decent_price_state",
            "1 for the state that an asset's price is in.",
            ("asset", "state"),
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one answered request."""
        self.requests.labels(method, route, str(status)).inc()
        self.latency.labels(method, route).observe(took_s)

    def set_records(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Show how many records there are by (kind, state), such as ("contract", "active")."""
        self._states.clear()
        for (kind, state), count in counts.items():
            self._states.labels(kind, state).set(count)

    def set_prices(self, figures: Iterable[tuple[str, str, int | None]]) -> None:
        """Show prices as (asset, state, age in seconds); an age of None is not shown."""
        self._price_age.clear()
        self._price_state.clear()
        for asset, state, age_s in figures:
            if age_s is not None:
                self._price_age.labels(asset).set(age_s)
            for one in PriceState:
                self._price_state.labels(asset, one.value).set(one.value == state)

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)


def token_fits(header: str, token: str) -> bool:
    """Tell whether an Authorization header carries the configured token; no token fits none."""
    return bool(token) and hmac.compare_digest(header.encode(), f"Bearer {token}".encode())

"""How soon 200 contracts ordered at once are active on one agent, and whether its heartbeat keeps time meanwhile."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from bench.figures import Figure, at_most
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.actors import Tenant
from devtools.market import Market, Shape, query
from devtools.processes import until

RENTALS = 200
TENANTS = RENTALS // 2  # nobody may have more than two orders that wait for payment
AT_ONCE = 8
CREATE_MS = 1_000
CONCURRENCY = 16
HEARTBEAT_S = 2
BOUND_S = 30.0
LATE_BOUND_S = 5.0
PATIENCE_S = 180.0


class Beats:
    """Notes when the platform heard the agent, by the platform's own record, until the block ends."""

    def __init__(self, database: Path, every_s: float) -> None:
        self._database = database
        self._every_s = every_s
        self._heard_ms: set[int] = set()
        self._began_ms = time.time_ns() // 1_000_000
        self._ended_ms = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="beats")

    def __enter__(self) -> Self:
        self._note()
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop.set()
        self._thread.join()
        self._note()
        self._ended_ms = time.time_ns() // 1_000_000

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            self._note()

    def _note(self) -> None:
        rows = query(self._database, "SELECT last_seen_ms FROM agent_presences")
        self._heard_ms.update(int(str(row[0])) for row in rows if row[0])

    def latest_s(self) -> float:
        """Return by how much the latest beat missed its time; one still awaited at the end counts too."""
        if not self._heard_ms:
            raise AssertionError("the platform never heard the agent")
        return lateness_s([*sorted(self._heard_ms), self._ended_ms], self._every_s)


def lateness_s(moments_ms: list[int], every_s: float) -> float:
    """Return the longest gap between neighbouring moments beyond the usual one, at least 0."""
    gaps = [late - early for early, late in itertools.pairwise(moments_ms)]
    return max(0.0, max(gaps, default=0) / 1_000 - every_s)


def run() -> list[Figure]:
    """Order 200 machines that take a second each to make, and time them from the first order to the moment when the last is active."""
    ordinary = {"heartbeat_s": HEARTBEAT_S, "concurrency": CONCURRENCY}
    with (
        tempfile.TemporaryDirectory(prefix="dc-bench-") as folder,
        Market(Path(folder), Shape(agent_settings=ordinary)) as market,
    ):
        market.cloud.change(before_ms={Verb.CREATE: CREATE_MS}, unique_names=False)
        agent = market.new_agent()
        agent.start()
        offering = market.offering(stock=2 * RENTALS)
        tenants = [market.new_tenant() for _ in range(TENANTS)]
        with Beats(market.data / "decent.db", HEARTBEAT_S) as beats:
            began = time.monotonic()
            _order(tenants, offering)
            placed_s = time.monotonic() - began
            until("all are active", lambda: _active(market) == RENTALS, PATIENCE_S)
            took_s = time.monotonic() - began
        agent.check_running()
        machines = market.cloud.machines(deleted=True)
        twins = len(machines) - len({each.contract for each in machines})
        late_s = beats.latest_s()
    print(f"  the last of {RENTALS} orders was placed after {placed_s:.1f} s", flush=True)
    return [
        at_most("burst_200_active_s", took_s, "s", BOUND_S),
        at_most("burst_heartbeat_late_s", late_s, "s", LATE_BOUND_S),
        at_most("burst_duplicates", twins, "machines", 0),
    ]


def _order(tenants: list[Tenant], offering: OfferingView) -> None:
    """Place all orders: two a tenant, eight tenants at a time."""

    def place(tenant: Tenant) -> None:
        for _ in range(RENTALS // len(tenants)):
            tenant.rent(offering)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(place, tenants))


def _active(market: Market) -> int:
    """Count the active contracts beside the server, so that asking costs it nothing."""
    time.sleep(0.1)
    sql = "SELECT COUNT(*) FROM contracts WHERE state = 'active'"
    return int(str(query(market.data / "decent.db", sql)[0][0]))

"""A worker that does one round of prices with one source, and kills itself at a given step hook."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from decent_cloud.adapters.sql.engine import connect
from decent_cloud.app.ports.price_sources import Moment, Reading
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.jobs.prices import OBSERVE_KIND, ObservePrices, minutely
from decent_cloud.jobs.runner import Runner
from decent_cloud.kernel.prices import Coin, PriceSource
from decent_cloud.kernel.status import JobState

PLACES = [
    "prices.minutely:cron:before",
    "prices.minutely:cron:acted",
    "prices.minutely:cron:after",
    "prices.observe::before",
    "prices.observe::acted",
    "prices.observe::after",
]
NOW_MS = 1_700_000_000_000
LEASE_MS = 400


class FixedClock:
    """Stands nearly still: each question is a little later."""

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms

    def now_ms(self) -> int:
        self._at_ms += 1
        return self._at_ms


class OneSource:
    """Says one thing, always."""

    name = PriceSource.KRAKEN
    pairs = (Pair(Coin.ICP, Coin.USD),)
    pause_s = 0.0

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        return Reading(pair, 5 * E12, moment.now_ms)

    async def close(self) -> None:
        return None


async def main(url: str, kill_at: str) -> None:
    database = connect(url, bytes(32))

    def hook(place: str) -> None:
        if place == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    handler = ObservePrices([OneSource()], 0)
    owner = f"worker {os.getpid()}"
    runner = Runner(
        database,
        FixedClock(NOW_MS + (LEASE_MS * 2 if kill_at == "never" else 0)),
        [handler],
        [minutely()],
        owner,
        hook,
        lease_ms=LEASE_MS,
    )
    for _ in range(1_000):
        await runner.run_due()
        states = await database.read(
            lambda uow: [
                job.state
                for job in [uow.jobs.get(f"{OBSERVE_KIND}:{NOW_MS // 60_000}")]
                if job is not None
            ]
        )
        if states == [JobState.DONE]:
            break
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Rounds as jobs: every minute, once, whoever fails, and the same after a kill at any step."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app.ports.price_sources import Moment, Reading, Source, SourceFailed
from decent_cloud.app.ports.prices import PricePoint
from decent_cloud.domain.pricing.breaker import Standing
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.jobs.prices import ObservePrices, hourly, minutely
from decent_cloud.jobs.runner import Runner
from decent_cloud.kernel.clock import DAY_MS, MINUTE_MS
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceSource
from decent_cloud.kernel.status import JobState, PriceState
from tests.domain.pricing.looks import FLOOR_MINOR, NOW_MS, TRUTH, market
from tests.jobs.price_worker import PLACES

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Clock:
    """Goes only when told."""

    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


@dataclass(slots=True)
class Told:
    """A source that says what the honest market says, or does as it is told."""

    name: PriceSource
    pairs: tuple[Pair, ...]
    pause_s: float = 0.0
    misdeed: Callable[[], None] | None = None
    hangs: bool = False
    moments: list[Moment] = field(default_factory=list)

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        self.moments.append(moment)
        if self.hangs:
            await asyncio.sleep(60)
        if self.misdeed is not None:
            self.misdeed()
        said = next(
            one for one in market(moment.now_ms) if (one.source, one.pair) == (self.name, pair)
        )
        return Reading(pair, said.price_e12, moment.now_ms, 0, said.depth_usd_minor)

    async def close(self) -> None:
        return None


def everybody() -> list[Told]:
    pairs: dict[PriceSource, list[Pair]] = {}
    for one in market():
        pairs.setdefault(one.source, []).append(one.pair)
    return [Told(source, tuple(some)) for source, some in pairs.items()]


class Bench:
    """A runner on a database in memory, with a hand on the clock."""

    def __init__(self, sources: list[Told], *, source_s: float = 5.0) -> None:
        self.db = MemoryDatabase()
        self.clock = Clock()
        made: list[Source] = list(sources)
        handler = ObservePrices(made, FLOOR_MINOR, source_s=source_s)
        self.runner = Runner(self.db, self.clock, [handler], [minutely(), hourly()], "w1")

    def minutes(self, number: int) -> None:
        for _ in range(number):
            asyncio.run(self.runner.run_due())
            self.clock.at_ms += MINUTE_MS

    def standing(self, asset: Asset) -> Standing | None:
        return self.db.read_now(lambda uow: uow.prices.standing(asset))

    def points(self, asset: Asset) -> tuple[PricePoint, ...]:
        return self.db.read_now(lambda uow: uow.prices.points(asset, 2**62, 9))

    def state(self, asset: Asset = Asset.ICP) -> PriceState | None:
        found = self.standing(asset)
        return found.state if found else None

    def problems(self) -> dict[PriceSource, set[str]]:
        found: dict[PriceSource, set[str]] = {}
        for one in self.db.read_now(lambda uow: uow.prices.reports()):
            found.setdefault(one.source, set()).add(one.reason)
        return found


def test_a_minute_is_a_round_whose_second_half_asks_nobody_again() -> None:
    sources = everybody()
    bench = Bench(sources)
    bench.minutes(3)
    assert bench.state() is PriceState.OK
    asyncio.run(bench.runner.run_due())
    bench.clock.at_ms += MINUTE_MS // 2
    asyncio.run(bench.runner.run_due())
    asked = {source.name: len(source.moments) // len(source.pairs) for source in sources}
    assert set(asked.values()) == {4}
    counted = bench.db.read_now(lambda uow: uow.jobs.count_by_state())
    assert counted.get(JobState.DEAD, 0) == counted.get(JobState.READY, 0) == 0


def test_pools_are_told_what_an_icp_is_worth_once_that_is_known() -> None:
    sources = everybody()
    bench = Bench(sources)
    bench.minutes(4)
    (pools,) = (one for one in sources if one.name is PriceSource.ICPSWAP)
    worth = list(dict.fromkeys(moment.icp_usd_e12 for moment in pools.moments))
    assert worth == [None, TRUTH[Coin.ICP]]


def refuse() -> None:
    raise SourceFailed("answered HTTP 451")


def surprise() -> None:
    raise KeyError("what nobody thought of")


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [(refuse, "answered HTTP 451"), (surprise, "its answer could not be read")],
)
def test_one_source_that_fails_holds_up_no_other(misdeed: Callable[[], None], reason: str) -> None:
    sources = everybody()
    sources[0].misdeed = misdeed
    bench = Bench(sources)
    bench.minutes(3)
    assert bench.state() is PriceState.OK
    problems = bench.problems()
    assert problems.pop(sources[0].name) == {reason}
    assert set().union(*problems.values()) == {""}


def test_one_source_that_hangs_is_left_when_its_time_is_over() -> None:
    sources = everybody()
    sources[2].hangs = True
    bench = Bench(sources, source_s=0.05)
    bench.minutes(3)
    assert bench.state() is PriceState.OK
    assert bench.problems()[sources[2].name] == {"took too long"}


def test_the_source_that_was_dead_from_the_start_gives_no_price_and_never_one_dollar() -> None:
    """The reference product's hole: one source, dead at the start, and everything cost $1.00."""
    sources = everybody()
    for source in sources:
        source.misdeed = refuse
    bench = Bench(sources)
    bench.minutes(20)
    for asset in (Asset.ICP, Asset.DCT, Asset.CKBTC, Asset.CKUSDC, Asset.CKUSDT):
        found = bench.standing(asset)
        assert found is not None
        assert (found.state, found.accepted, found.candidate) == (PriceState.HALTED, None, None)
        assert found.reason
        assert bench.points(asset) == ()
    assert bench.db.read_now(lambda uow: uow.prices.newest(0)) == ()
    assert set().union(*bench.problems().values()) == {"answered HTTP 451"}


def test_a_round_that_comes_too_late_is_left_to_the_next() -> None:
    sources = everybody()
    bench = Bench(sources)
    asyncio.run(bench.runner._tick())
    bench.clock.at_ms += MINUTE_MS
    bench.runner._cron_due_ms = dict.fromkeys(bench.runner._cron_due_ms, 2**62)
    asyncio.run(bench.runner.run_due())
    assert [len(source.moments) for source in sources] == [0] * len(sources)
    assert bench.db.read_now(lambda uow: uow.jobs.count_by_state())[JobState.DONE] == 3


def test_old_observations_are_dropped_each_hour() -> None:
    bench = Bench(everybody())
    bench.minutes(1)
    assert bench.db.read_now(lambda uow: uow.prices.newest(0))
    bench.clock.at_ms += 15 * DAY_MS
    asyncio.run(bench.runner.run_due())
    oldest_ms = min(
        one.received_at_ms for one in bench.db.read_now(lambda uow: uow.prices.newest(0))
    )
    assert oldest_ms == bench.clock.at_ms


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", PLACES)
def test_a_worker_killed_in_a_round_loses_and_doubles_nothing(tmp_path: Path, kill_at: str) -> None:
    url = f"sqlite:///{tmp_path}/decent.db"
    migrate(url)
    assert _work(url, kill_at) == -signal.SIGKILL
    assert _work(url, "never") == 0

    async def look() -> tuple[int, int, int]:
        database = connect(url, bytes(32))
        found = await database.read(
            lambda uow: (
                len(uow.prices.observations_of(Pair(Coin.ICP, Coin.USD), 0)),
                len(uow.prices.newest(0)),
                next(iter(uow.prices.standings().values())).version,
            )
        )
        await database.close()
        return found

    assert asyncio.run(look()) == (1, 1, 1)


def _work(url: str, kill_at: str) -> int:
    command = [sys.executable, "-m", "tests.jobs.price_worker", url, kill_at]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode

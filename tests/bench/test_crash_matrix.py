"""The crash matrix counts what it sees, owes every kind of cell, and shows only what ran as having held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bench.crash_cells import PLACES, SERVER_DIES, Bench, Blow, Lane, Outcome, why_not
from bench.crash_lanes import FakeLane, opened
from bench.crash_matrix import choices, figures
from bench.crash_page import page
from decent_cloud.drivers.contract import Driver, InstanceSpec, Observation
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.programs.server import Ports
from tests.support.market import OpenDoor
from tests.support.platform import running_platform

HELD = Outcome("fake", PLACES[0], Blow.KILL_AGENT, True, converged_s=0.4)
APART = Outcome("fake", PLACES[0], Blow.KILL_SERVER, False, "no server")
LATE = Outcome("fake", PLACES[0], Blow.LOST, False, "not run: the time was up", owed=True)
TWICE = Outcome("fake", PLACES[0], Blow.TIMEOUT, True, "never", duplicates=1, converged_s=45)
LEFT = Outcome("fake", PLACES[0], Blow.RATE_LIMITED, True, orphans=2, converged_s=1)
ALL = [HELD, APART, TWICE, LATE, LEFT]


def test_what_went_wrong_or_was_owed_and_did_not_run_misses_the_bounds() -> None:
    missed = {each.name: each.value for each in figures(ALL) if not each.holds}
    assert missed == {
        "crash_duplicates": 1,
        "crash_orphans": 2,
        "crash_converge_p95_s": pytest.approx(40.6),
        "crash_cells_failed": 1,
        "crash_cells_not_run": 1,
    }
    assert all(each.holds for each in figures([HELD, APART, replace(LATE, owed=False)]))


def test_the_page_gives_a_time_only_for_what_held() -> None:
    text = page(ALL)
    (row,) = [line for line in text.splitlines() if f"`{PLACES[0].step}`" in line]
    assert row == (
        "| create: `desired.asked` | 0.4 s | n/a (1) | **1 duplicates, failed** (2) | not run (3) |"
        " **2 orphans** | not run | not run |"
    )
    assert "| fake | 3 | 1 | 2 | 1 | 1 | 45.0 s |" in text
    assert "1. no server\n2. never\n3. not run: the time was up" in text


def test_each_driver_owes_every_step_and_on_each_path_every_blow(tmp_path: Path) -> None:
    lane = FakeLane(FakeBackend(tmp_path / "cloud.db"))
    lane.real_deaths = False
    found = choices(lane, PLACES)
    owed = [(place, blow) for place, blow, must in found if must]
    assert found[: len(owed)] == [(place, blow, True) for place, blow in owed]
    assert {place for place, blow in owed if blow is Blow.KILL_AGENT} == set(PLACES)
    kinds = {(place.path, blow) for place, blow in owed}
    assert kinds == {
        (path, blow)
        for path in ("create", "destroy")
        for blow in Blow
        if blow is not Blow.KILL_SERVER
    }
    assert {path.path for path in SERVER_DIES} == {"create", "destroy"}
    assert all(not why_not(lane, place, Blow.KILL_SERVER) for place in SERVER_DIES)


class Twice:
    """A driver that makes every machine twice and takes back the second only when told to."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def create(self, spec: InstanceSpec) -> Observation:
        self._driver.create(spec)
        return self._driver.create(replace(spec, ssh_port=spec.ssh_port + 1))


class TwiceLane(FakeLane):
    """A cloud without unique names under such a driver."""

    def driver(self, platform: str) -> Driver:
        return cast("Driver", Twice(super().driver(platform)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "platform").mkdir()
    with (
        running_platform(tmp_path / "platform", Ports(reach=OpenDoor())) as platform,
        opened("fake", platform.url, tmp_path / "lane") as made,
    ):
        yield made


@pytest.mark.slow
def test_a_rental_that_a_blow_strikes_is_seen_through_and_timed(bench: Bench) -> None:
    outcome = bench.cell(PLACES[0], Blow.LOST)
    assert (outcome.ran, outcome.reason) == (True, "")
    assert (outcome.duplicates, outcome.orphans) == (0, 0)
    assert 0 < outcome.converged_s < 45


@pytest.mark.slow
def test_a_planted_duplicate_is_counted(bench: Bench) -> None:
    lane: Lane = bench.lane
    assert isinstance(lane, FakeLane)
    planted = TwiceLane(lane._backend)
    planted._backend.change(
        list_lag_ms=60_000
    )  # the second look of `create` does not see the first
    bench.lane = bench.rig.lane = planted
    outcome = bench.cell(PLACES[0], Blow.LOST)
    assert outcome.duplicates == 1
    assert not all(each.holds for each in figures([outcome]))

"""Every driver, every step, everything that can go wrong there: no machine twice, none left, and how soon all is well.

`DECENT_CRASH_LANES` (comma-separated: fake, docker, hetzner, digitalocean, vultr, proxmox, sandbox, script, manual,
sigkill-fake, sigkill-docker) and `DECENT_CRASH_STEPS` (a regular expression over `create:step` and `destroy:step`)
run a part, which leaves the page as it is; `DECENT_CRASH_TALK` shows each cell.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from bench import crash_lanes
from bench.crash_cells import (
    PLACES,
    SERVER_DIES,
    Bench,
    Blow,
    Cell,
    Dead,
    Lane,
    Outcome,
    Place,
    why_not,
)
from bench.crash_lanes import TriedEngine
from bench.crash_page import write_page
from bench.crash_server import MortalServer
from bench.crash_sigkill import TIME_UP, sigkill_docker, sigkill_fake
from bench.figures import Figure, at_most
from devtools.engine import EngineBusy, EngineUnavailable, engine
from devtools.nursery import nursery

# Cells that are owed run first; what is left at these times is not run, and the page says so.
OWED_S, REST_S, SIGKILL_S = 400.0, 340.0, 380.0
ENGINE_WAIT_S = 60
ENOUGH = 3  # failures after which a driver's other cells are not waited for
GIVEN_UP = "not run: too many cells of this driver failed before"
BOUND_S = 30.0
PAGE = Path("docs/conformance.md")
DEATHS = ("sigkill-fake", "sigkill-docker")
Choice = tuple[Place, Blow, bool]  # and whether it is owed


class Record:
    """What came of all cells so far; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Outcome] = []
        self._talks = bool(os.environ.get("DECENT_CRASH_TALK"))

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome; say it if asked to, or if it is a failure."""
        with self._lock:
            self._found.append(outcome)
        failed = outcome.reason and outcome.ran
        if failed or (self._talks and outcome.ran):
            place = f"{outcome.place.path}:{outcome.place.step}"
            what = outcome.reason or f"{outcome.converged_s:.1f} s"
            print(f"  {outcome.driver} {place} {outcome.blow}: {what}", flush=True)

    def all(self) -> list[Outcome]:
        """Return everything."""
        with self._lock:
            return list(self._found)

    def failures(self, driver: str) -> int:
        """Count a driver's cells that failed."""
        return sum(each.driver == driver and each.ran and bool(each.reason) for each in self.all())


def run() -> list[Figure]:
    """Run all lanes side by side, write the page, and sum up."""
    pattern = re.compile(os.environ.get("DECENT_CRASH_STEPS", ""))
    places = tuple(each for each in PLACES if pattern.search(f"{each.path}:{each.step}"))
    asked = [each for each in os.environ.get("DECENT_CRASH_LANES", "").split(",") if each]
    lanes = [
        each
        for each in (*crash_lanes.NAMES, *DEATHS)
        if each in (asked or (*crash_lanes.NAMES, *DEATHS))
    ]
    record = Record()
    began = time.monotonic()
    with _quiet(), ExitStack() as stack:
        docker = _engine(stack, lanes, places, record)
        nursery()  # here, since two threads that are first at once would each get one
        work: list[Callable[[], None]] = [lambda: _in_process(lanes, docker, places, record)]
        if DEATHS[0] in lanes:
            work.append(lambda: sigkill_fake(places, began + SIGKILL_S, record.tell))
        if docker is not None and DEATHS[1] in lanes:
            engine_ = docker
            work.append(lambda: sigkill_docker(engine_, places, began + SIGKILL_S, record.tell))
        with ThreadPoolExecutor(len(work)) as pool:
            for each in [pool.submit(part) for part in work]:
                each.result()
    if len(places) == len(PLACES) and not asked:
        write_page(record.all(), PAGE)
    return figures(record.all())


def figures(outcomes: Iterable[Outcome]) -> list[Figure]:
    """Sum the cells up: what is not applicable counts nowhere, what was owed and not run against the run."""
    outcomes = list(outcomes)
    ran = [each for each in outcomes if each.ran]
    times = [each.converged_s for each in ran] or [0.0]
    p95 = statistics.quantiles(times, n=100, method="inclusive")[94] if len(times) > 1 else times[0]
    missing = sum(each.owed and not each.ran for each in outcomes)
    print(f"  {len(ran)} cells ran")
    return [
        at_most("crash_duplicates", sum(each.duplicates for each in ran), "machines", 0),
        at_most("crash_orphans", sum(each.orphans for each in ran), "machines", 0),
        at_most("crash_converge_p95_s", p95, "s", BOUND_S),
        at_most("crash_cells_failed", sum(bool(each.reason) for each in ran), "cells", 0),
        at_most("crash_cells_not_run", missing, "cells", 0),
    ]


def choices(lane: Lane, places: Iterable[Place]) -> list[Choice]:
    """Return a lane's cells, those that are owed first: each step once, and on each path each fault once."""
    blows = [each for each in Blow if each is not Blow.KILL_SERVER]
    if lane.real_deaths:
        blows.remove(Blow.KILL_AGENT)
    seen: set[tuple[str, Blow]] = set()
    found: list[Choice] = []
    for place, blow in itertools.product(places, blows):
        if why_not(lane, place, blow):
            continue
        kind = (place.path, blow)
        found.append((place, blow, blow is Blow.KILL_AGENT or kind not in seen))
        seen.add(kind)
    return sorted(found, key=lambda each: not each[2])


def _in_process(
    lanes: list[str], docker: TriedEngine | None, places: tuple[Place, ...], record: Record
) -> None:
    """Run the cells in this process, then kill the server under all drivers at once."""
    wanted = [each for each in crash_lanes.NAMES if each in lanes and (docker or each != "docker")]
    if not wanted:
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dc-crash-") as text, ExitStack() as stack:
        folder = Path(text)
        server = stack.enter_context(MortalServer(folder))
        benches = []
        for name in wanted:
            try:
                opened = crash_lanes.opened(name, server.url, folder / name, docker)
                benches.append(stack.enter_context(opened))
            except crash_lanes.CannotBeHad as error:
                _none(name, places, f"not run: {error}", record, owed=False)
        with ThreadPoolExecutor(len(benches) or 1) as pool:
            for each in benches:
                _not_applicable(each.lane, places, record)
            list(pool.map(lambda each: _cells(each, places, True, began + OWED_S, record), benches))
            mortal = [each for each in benches if not each.lane.real_deaths]
            for place in places:
                if place in SERVER_DIES and mortal:
                    _server_dies(server, mortal, place, began + OWED_S, pool, record)
            list(
                pool.map(lambda each: _cells(each, places, False, began + REST_S, record), benches)
            )


def _not_applicable(lane: Lane, places: tuple[Place, ...], record: Record) -> None:
    """Note the cells that there are not; those of real deaths are told by whoever kills."""
    for place, blow in itertools.product(places, Blow):
        elsewhere = lane.real_deaths and blow in {Blow.KILL_AGENT, Blow.KILL_SERVER}
        reason = "" if elsewhere else why_not(lane, place, blow)
        if reason:
            record.tell(Outcome(lane.name, place, blow, False, reason))


def _cells(
    bench: Bench, places: tuple[Place, ...], owed: bool, deadline: float, record: Record
) -> None:
    """Run one lane's cells that are owed, or the others."""
    for place, blow in [each[:2] for each in choices(bench.lane, places) if each[2] is owed]:
        reason = TIME_UP if time.monotonic() > deadline else ""
        if record.failures(bench.lane.name) >= ENOUGH:
            reason = GIVEN_UP
        if reason:
            record.tell(Outcome(bench.lane.name, place, blow, False, reason, owed=owed))
        else:
            record.tell(bench.cell(place, blow))


def _server_dies(
    server: MortalServer,
    benches: list[Bench],
    place: Place,
    deadline: float,
    pool: ThreadPoolExecutor,
    record: Record,
) -> None:
    """Bring one rental of each lane to a step, kill the server, start it again, and see all of them through."""
    if time.monotonic() > deadline:
        for each in benches:
            blow = Blow.KILL_SERVER
            record.tell(Outcome(each.lane.name, place, blow, False, TIME_UP, owed=True))
        return
    cells = [Cell(each, place, Blow.KILL_SERVER) for each in benches]
    list(pool.map(lambda cell: cell.attempt(cell.bring), cells))
    server.kill()
    server.start()
    list(pool.map(lambda cell: cell.attempt(cell.recover), cells))
    for cell in cells:
        record.tell(cell.outcome())


def _engine(
    stack: ExitStack, lanes: list[str], places: tuple[Place, ...], record: Record
) -> TriedEngine | None:
    """Have a Docker engine where one is wanted; None where none can be had, which is noted."""
    if not any("docker" in each for each in lanes):
        return None
    try:
        return crash_lanes.try_engine(stack.enter_context(engine(wait_s=ENGINE_WAIT_S)).url)
    except (EngineUnavailable, EngineBusy, crash_lanes.CannotBeHad) as error:
        _none("docker", places, f"not run: {str(error).splitlines()[0]}", record, owed=True)
        return None


def _none(name: str, places: tuple[Place, ...], reason: str, record: Record, *, owed: bool) -> None:
    for place, blow in itertools.product(places, Blow):
        record.tell(Outcome(name, place, blow, False, reason, owed=owed))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen what is meant to go wrong here: the agents' words, and threads that die at a step."""
    before = threading.excepthook

    def hook(raised: threading.ExceptHookArgs) -> None:
        if not issubclass(raised.exc_type, Dead):
            before(raised)

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before

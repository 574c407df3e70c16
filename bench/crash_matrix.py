"""Every driver, every step, everything that can go wrong there: no machine twice, none left, and how soon all is well.

`DECENT_CRASH_LANES` (comma-separated: fake, hetzner, digitalocean, vultr, proxmox, sigkill-fake, sigkill-docker)
and `DECENT_CRASH_STEPS` (a regular expression) run a part, which leaves the page as it is.
"""

from __future__ import annotations

import logging
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from bench import crash_lanes
from bench.crash_cells import PLACES, Blow, Outcome, Place, why_not
from bench.crash_page import write_page
from bench.crash_sigkill import TIME_UP, sigkill_docker, sigkill_fake
from bench.figures import Figure, at_most
from decent_cloud.programs.server import Ports
from tests.support.market import OpenDoor
from tests.support.platform import running_platform

BUDGET_S = 400.0
ENOUGH = 3  # failures after which a driver's other cells are not waited for
GIVEN_UP = "not run: too many cells of this driver failed before"
BOUND_S = 30.0
PAGE = Path("docs/conformance.md")
Cells = Callable[[tuple[Place, ...], float], list[Outcome]]


def run() -> list[Figure]:
    """Run all lanes side by side, write the page, and sum up."""
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)  # what goes wrong here is meant to
    deadline = time.monotonic() + BUDGET_S
    pattern = re.compile(os.environ.get("DECENT_CRASH_STEPS", ""))
    places = tuple(each for each in PLACES if pattern.search(f"{each.path}:{each.step}"))
    chosen = [each for each in os.environ.get("DECENT_CRASH_LANES", "").split(",") if each]
    with tempfile.TemporaryDirectory(prefix="dc-crash-") as text:
        folder = Path(text)
        (folder / "platform").mkdir()
        with running_platform(folder / "platform", Ports(reach=OpenDoor())) as platform:
            lanes: dict[str, Cells] = {
                name: _in_process(name, platform.url, folder / name) for name in crash_lanes.NAMES
            }
            lanes |= {"sigkill-fake": sigkill_fake, "sigkill-docker": sigkill_docker}
            wanted = {name: cells for name, cells in lanes.items() if name in (chosen or lanes)}
            with ThreadPoolExecutor(len(wanted)) as pool:
                running = [pool.submit(cells, places, deadline) for cells in wanted.values()]
                outcomes = [outcome for each in running for outcome in each.result()]
    for each in outcomes:
        if each.reason and each.ran:
            print(f"  {each.driver} {each.place.path}:{each.place.step} {each.blow}: {each.reason}")
    if len(places) == len(PLACES) and not chosen:
        write_page(outcomes, PAGE)
    return figures(outcomes)


def figures(outcomes: Iterable[Outcome]) -> list[Figure]:
    """Sum the cells up; what is not applicable counts nowhere, what was not reached counts against the run."""
    outcomes = list(outcomes)
    ran = [each for each in outcomes if each.ran]
    times = [each.converged_s for each in ran] or [0.0]
    p95 = statistics.quantiles(times, n=100, method="inclusive")[94] if len(times) > 1 else times[0]
    late = sum(each.reason.startswith("not run") for each in outcomes)
    print(f"  {len(ran)} cells ran, {len(outcomes) - len(ran)} are not applicable or were not run")
    return [
        at_most("crash_duplicates", sum(each.duplicates for each in ran), "machines", 0),
        at_most("crash_orphans", sum(each.orphans for each in ran), "machines", 0),
        at_most("crash_converge_p95_s", p95, "s", BOUND_S),
        at_most("crash_cells_failed", sum(bool(each.reason) for each in ran), "cells", 0),
        at_most("crash_cells_not_run", late, "cells", 0),
    ]


def _in_process(name: str, url: str, folder: Path) -> Cells:
    def cells(places: tuple[Place, ...], deadline: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with crash_lanes.opened(name, url, folder) as bench:
            for place in places:
                for blow in Blow:
                    reason = why_not(bench.lane, place, blow)
                    if not reason and time.monotonic() > deadline:
                        reason = TIME_UP
                    if not reason and sum(e.ran and bool(e.reason) for e in outcomes) >= ENOUGH:
                        reason = GIVEN_UP
                    cell = Outcome(name, place, blow, False, reason)
                    outcomes.append(cell if reason else bench.cell(place, blow))
                    if os.environ.get("DECENT_CRASH_TALK") and not reason:
                        print(f"  {outcomes[-1]}", flush=True)
        return outcomes

    return cells

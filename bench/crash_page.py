"""Writes the crash matrix as a page: one table a driver, what was chosen, and the reasons of all cells without a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.crash_cells import PLACES, SERVER_DIES, Blow, Outcome, Place

HEAD = """# Crash conformance

Written by `make bench ONLY=crash_matrix` from what it measured; do not edit.

Each cell is one rental from order to end, by the whole agent against the whole platform. The row is a step of
the agent, just before or just after something outside it changes; the column is the one thing that goes wrong
there. Afterwards the rental must become what it would have been, with one machine, and end with none.

A time says that it did, and after how many seconds: from the blow (a killed program: from its restart) to the
machine's hand-over, or on the destroy path to its end. Times hold pauses that the other side asked for, such as
`Retry-After`. **Bold** cells did not hold. `n/a` and `not run` count as nothing; their reasons stand at the end.

| column | what happens |
|---|---|
| kill agent | `fake` and `docker`: the agent's process is killed with SIGKILL at the step and started again. The others, in one process with many: every thread of the agent ends at the step, nothing is cleaned up, and a new agent opens the journal. |
| kill server | The platform's process is killed with SIGKILL while the agent stands at the step, and started again. |
| timeout | The call that follows the step is not done and not answered. |
| answer lost | The call is done and its answer never comes. |
| 429, 500 | The call is refused with this status, or with what the backend has like it. |
| doubled report | The report was taken, and is sent once more as a new request. |

The call that follows a step goes to the backend (`lookup`, `create`, `inspect`, `destroy`) or to the platform
(`desired`, `lease`, `start`, `report`); steps that no call follows have `n/a` there.

A **duplicate** is a second machine of one contract seen at the same time (under SIGKILL: ever made). An
**orphan** is a machine, key, disk, first-start drive or network left when the contract has ended.

## What was chosen

- The agent dies at every step under every driver.
- Timeout, lost answer, 429 and 500 strike every call that the driver's fake or rig can spoil, and every call to the
  platform. The SDK of Docker and the local drivers know no 429: there it is the platform that sends it.
- The server dies at every step under `fake` and `docker`. Under the others it dies at {server} of {places} steps,
  under all of them at once: those with something of the agent's on its way or about to be.
- On a slow machine a run may leave out further cells of one kind once each kind was tried, marked `not run`;
  it fails if a step under a driver, or a kind of blow on one of a driver's paths, was not tried at all.

## What this does not prove

- Hetzner, DigitalOcean, Vultr and Proxmox are fakes of the vendors' interfaces on loopback with a clock of their
  own, checked against the vendors' documents: they show what the documents say, not what a vendor's bad day looks
  like. `dc-agent conformance DRIVER` tries a provider's own account.
- Docker is a real engine, `sandbox` real processes, `script` the example script as a program, `manual` a person
  who does at once what is asked. `fake` lets two machines of one name come to be: a blind second create shows.
- The paths are those from order to hand-over and from the end to nothing left. Resets, stops and machines kept
  aside are not in it.
- One thing goes wrong at a time. Two agents on one pool, lost leases, full disks and a platform that was rolled
  back have tests of their own.
- A thread that ends is not a power cut: that what is journalled is on the disk rests on SQLite.
"""


def write_page(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write the page."""
    path.write_text(page(list(outcomes)), encoding="utf-8")


def page(outcomes: list[Outcome]) -> str:
    """Return the page's text; a cell that did not run is never shown as one that held."""
    reasons: dict[str, int] = {}
    parts = [HEAD.format(server=len(SERVER_DIES), places=len(PLACES)), _summary(outcomes)]
    parts += [
        _table(driver, [each for each in outcomes if each.driver == driver], reasons)
        for driver in _drivers(outcomes)
    ]
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    parts.append("\n".join(["## Why cells have no time", "", *notes]) + "\n")
    return "\n".join(parts)


def _drivers(outcomes: list[Outcome]) -> list[str]:
    return sorted({each.driver for each in outcomes})


def _summary(outcomes: list[Outcome]) -> str:
    lines = [
        "## All drivers",
        "",
        "| driver | cells run | duplicates | orphans | failed | not run | slowest |",
        "|---" * 7 + "|",
    ]
    for driver in [*_drivers(outcomes), ""]:
        here = [each for each in outcomes if each.driver == driver or not driver]
        ran = [each for each in here if each.ran]
        left_out = sum(each.reason.startswith("not run") for each in here)
        slowest = max((each.converged_s for each in ran), default=0.0)
        cells = [
            driver or "**all**",
            len(ran),
            sum(each.duplicates for each in ran),
            sum(each.orphans for each in ran),
            sum(bool(each.reason) for each in ran),
            left_out,
            f"{slowest:.1f} s",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def _table(driver: str, outcomes: list[Outcome], reasons: dict[str, int]) -> str:
    lines = [f"## {driver}", "", "| step | " + " | ".join(Blow) + " |"]
    lines.append("|---" * (len(Blow) + 1) + "|")
    cells: dict[tuple[Place, Blow], str] = {
        (each.place, each.blow): _text(each, reasons) for each in outcomes
    }
    for place in PLACES:
        row = [cells.get((place, blow), "not run") for blow in Blow]
        if any((place, blow) in cells for blow in Blow):
            lines.append(f"| {place.path}: `{place.step}` | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _text(each: Outcome, reasons: dict[str, int]) -> str:
    note = f" ({reasons.setdefault(each.reason, len(reasons) + 1)})" if each.reason else ""
    if not each.ran:
        return f"{'not run' if each.reason.startswith('not run') else 'n/a'}{note}"
    wrong = [f"{each.duplicates} duplicates"] * bool(each.duplicates)
    wrong += [f"{each.orphans} orphans"] * bool(each.orphans)
    if wrong or each.reason:
        return "**" + ", ".join([*wrong, *["failed"] * bool(each.reason)]) + f"**{note}"
    return f"{each.converged_s:.1f} s"

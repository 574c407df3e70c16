"""Writes the crash matrix as a page: one table a driver, and the reasons of all cells that do not apply."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.crash_cells import Blow, Outcome

HEAD = """# Crash conformance

Written by `make bench ONLY=crash_matrix`; do not edit.

Each cell is one rental from order to end. At the named step of the agent one thing goes wrong; then the
rental must become what it would have been, with one machine, and end with none. A time is that from the
blow (for a kill: from the restart) to the machine's hand-over, or on the destroy path to its end.

- **kill agent**: in one process every thread of the agent ends at the step and a new agent takes its
  journal over; in the tables marked SIGKILL the program is killed.
- **kill server**: the server is killed with SIGKILL while the agent stands at the step, and started again.
- **timeout, answer lost, 429, 500**: of the call that follows the step, to the backend or to the platform.
- **doubled report**: the report is sent again as a new request once it was taken.

A duplicate is a second machine of a contract seen at the same time (with SIGKILL: ever made). An orphan
is a machine, key, disk or network left when the contract has ended. The clouds are fakes of the vendors'
interfaces on loopback with a clock of their own, checked against the vendors' documents.
"""


def write_page(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write the page."""
    path.write_text(page(list(outcomes)), encoding="utf-8")


def page(outcomes: list[Outcome]) -> str:
    """Return the page's text; a cell that did not run is never shown as one that held."""
    reasons: dict[str, int] = {}
    parts = [HEAD, _summary(outcomes)]
    parts += [
        _table(driver, [each for each in outcomes if each.driver == driver], reasons)
        for driver in dict.fromkeys(each.driver for each in outcomes)
    ]
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    parts.append("\n".join(["## Not applicable, and failures", "", *notes]) + "\n")
    parts.append(
        "The script, manual and sandbox drivers have no rows: the conformance kit tries them,"
        " this matrix does not.\n"
    )
    return "\n".join(parts)


def _summary(outcomes: list[Outcome]) -> str:
    ran = [each for each in outcomes if each.ran]
    duplicates = sum(each.duplicates for each in ran)
    orphans = sum(each.orphans for each in ran)
    failed = sum(bool(each.reason) for each in ran)
    return (
        f"Cells that ran: {len(ran)}. Duplicates: {duplicates}. Orphans: {orphans}."
        f" Cells that failed: {failed}. Cells that do not apply or did not run: {len(outcomes) - len(ran)}.\n"
    )


def _table(driver: str, outcomes: list[Outcome], reasons: dict[str, int]) -> str:
    lines = [f"## {driver}", "", "| step | " + " | ".join(Blow) + " |"]
    lines.append("|---" * (len(Blow) + 1) + "|")
    cells = {(each.place, each.blow): _text(each, reasons) for each in outcomes}
    for place in dict.fromkeys(each.place for each in outcomes):
        row = [cells[place, blow] for blow in Blow]
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

"""The crash matrix counts and shows only what ran as having held."""

from __future__ import annotations

from bench.crash_cells import PLACES, Blow, Outcome
from bench.crash_matrix import figures
from bench.crash_page import page

HELD = Outcome("fake", PLACES[0], Blow.KILL_AGENT, True, converged_s=0.4)
APART = Outcome("fake", PLACES[0], Blow.KILL_SERVER, False, "no server")
LATE = Outcome("fake", PLACES[0], Blow.LOST, False, "not run: the time was up")
TWICE = Outcome("fake", PLACES[0], Blow.TIMEOUT, True, "never", duplicates=1, converged_s=45)
OTHERS = [Outcome("fake", PLACES[0], each, False, "no call") for each in list(Blow)[4:]]
ALL = [HELD, APART, TWICE, LATE, *OTHERS]


def test_what_went_wrong_or_did_not_run_misses_the_bounds() -> None:
    missed = {each.name for each in figures(ALL) if not each.holds}
    assert missed == {
        "crash_duplicates",
        "crash_converge_p95_s",
        "crash_cells_failed",
        "crash_cells_not_run",
    }
    assert all(each.holds for each in figures([HELD, APART]))


def test_the_page_gives_a_time_only_for_what_held() -> None:
    (row,) = [line for line in page(ALL).splitlines() if PLACES[0].step in line]
    assert "| 0.4 s | n/a (1) | **1 duplicates, failed** (2) | not run (3) |" in row

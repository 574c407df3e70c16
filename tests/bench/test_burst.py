"""The heartbeat's lateness is told from the moments at which the platform heard it."""

from __future__ import annotations

import pytest

from bench.burst import lateness_s


def test_beats_in_time_are_not_late() -> None:
    assert lateness_s([0, 2_000, 3_900, 5_900], 2) == 0


def test_the_longest_gap_counts_and_so_does_one_that_never_ended() -> None:
    assert lateness_s([0, 2_000, 9_500, 11_500], 2) == pytest.approx(5.5)
    assert lateness_s([0, 2_000, 60_000], 2) == pytest.approx(56)

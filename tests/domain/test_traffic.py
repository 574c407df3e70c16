"""The sum of a machine's traffic, whatever its backend's counters do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.contracts.traffic import MOST, Reading, Traffic, count
from decent_cloud.kernel.ids import ContractId

C = ContractId("c1")
NOW = 1_700_000_000_000


def summed(*readings: tuple[int, int, int]) -> Traffic:
    found: Traffic | None = None
    for number, (received, sent, since_ms) in enumerate(readings, 1):
        found = count(found, C, Reading(received, sent, since_ms), NOW + number)
    assert found is not None
    return found


def test_a_counter_that_goes_on_is_the_sum() -> None:
    found = summed((10, 20, NOW), (10, 25, NOW))
    assert (found.received_bytes, found.sent_bytes) == (10, 25)
    assert (found.first_ms, found.at_ms) == (NOW, NOW + 2)


def test_a_counter_that_began_anew_counts_on_top() -> None:
    found = summed((10, 20, NOW), (50, 60, NOW + 1), (51, 60, NOW + 1))
    assert (found.received_bytes, found.sent_bytes) == (61, 80)
    assert found.first_ms == NOW


def test_a_counter_that_fell_began_anew_whatever_it_says() -> None:
    found = summed((10, 20, NOW), (1, 30, NOW))
    assert (found.received_bytes, found.sent_bytes) == (11, 50)


def test_an_old_reading_and_a_clock_ahead_change_nothing() -> None:
    found = summed((10, 20, NOW), (90, 90, NOW - 1))
    assert (found.received_bytes, found.sent_bytes, found.at_ms) == (10, 20, NOW + 1)
    assert summed((10, 20, NOW + 10**9)).first_ms == NOW + 1


@given(st.lists(st.tuples(*(st.integers(0, 2**53 - 1),) * 3), min_size=2, max_size=12))
def test_the_sum_never_falls_and_stays_exact(readings: list[tuple[int, int, int]]) -> None:
    found: Traffic | None = None
    for received, sent, since_ms in readings:
        after = count(found, C, Reading(min(received, MOST), min(sent, MOST), since_ms), NOW)
        if found is not None:
            assert after.received_bytes >= min(found.received_bytes, MOST)
            assert after.sent_bytes >= min(found.sent_bytes, MOST)
        assert max(after.received_bytes, after.sent_bytes) <= 2**53
        found = after

"""Instants are integers inside and RFC 3339 outside."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.kernel.clock import SystemClock, parse_rfc3339, rfc3339


@given(st.integers(0, 4_102_444_800_000))
def test_an_instant_survives_the_wire(at_ms: int) -> None:
    assert parse_rfc3339(rfc3339(at_ms)) == at_ms


def test_other_offsets_are_understood() -> None:
    assert parse_rfc3339("2026-11-24T08:00:00+01:00") == parse_rfc3339("2026-11-24T07:00:00Z")


@pytest.mark.parametrize("text", ["2026-11-24T08:00:00", "yesterday"])
def test_a_time_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|Invalid"):
        parse_rfc3339(text)


def test_the_system_clock_tells_milliseconds() -> None:
    assert abs(SystemClock().now_ms() - time.time() * 1_000) < 5_000

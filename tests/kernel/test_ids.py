"""Identifiers sort by time and never collide by construction."""

from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.kernel.ids import CROCKFORD, RandomIds, time_ordered


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_ids_sort_as_their_times_do(one_ms: int, other_ms: int, random_bits: int) -> None:
    one = time_ordered("c", one_ms, random_bits)
    other = time_ordered("c", other_ms, random_bits)
    assert (one < other) == (one_ms < other_ms)
    assert len(one) == 27
    assert set(one[1:]) <= set(CROCKFORD)


def test_fresh_ids_differ_within_one_millisecond() -> None:
    ids = RandomIds()
    assert len({ids.new("c", 1) for _ in range(100)}) == 100


def test_randomness_fills_the_lower_eighty_bits() -> None:
    assert RandomIds(lambda bits: (1 << bits) - 1).new("x", 0) == "x" + "0" * 10 + "z" * 16

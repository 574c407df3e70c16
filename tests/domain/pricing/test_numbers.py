"""Prices as whole numbers: what is taken for a price, and how it is rounded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.pricing.errors import BadPrice
from decent_cloud.domain.pricing.numbers import (
    E12,
    MAX_E12,
    apart_ppm,
    from_decimal,
    from_text,
    median,
    over,
    text_of,
    times,
)

PRICES = st.integers(1, MAX_E12)


@pytest.mark.parametrize(
    ("said", "e12"),
    [
        ("5", 5 * E12),
        ("0.0204", 20_400_000_000),
        ("0.000000000001", 1),
        (Decimal("1e2"), 100 * E12),
        ("9000000", MAX_E12),
        (7, 7 * E12),
        ("0.0000000000015", 2),  # half to even
        ("0.0000000000025", 2),
    ],
)
def test_a_number_is_read_exactly(said: object, e12: int) -> None:
    assert from_text(said) == e12


@pytest.mark.parametrize(
    "said",
    [
        "0", "-1", "nan", "inf", "", "1,5", "9000000.000000000001", "1e400", "0.0000000000001", None, True, 1.5,
        ["1"], "1" * 61, Decimal("NaN"), Decimal("Infinity"), Decimal("-0"), Decimal("1e1000000"), "x",
    ],
)  # fmt: skip
def test_what_is_no_price_is_refused(said: object) -> None:
    with pytest.raises(BadPrice):
        from_text(said)


@given(PRICES)
def test_a_price_survives_being_written(e12: int) -> None:
    assert from_decimal(Decimal(text_of(e12))) == e12


@given(st.lists(PRICES, min_size=1, max_size=9))
def test_a_median_lies_within_its_inputs(values: list[int]) -> None:
    assert min(values) <= median(values) <= max(values)


@given(st.integers(E12, MAX_E12), st.integers(E12, MAX_E12))
def test_product_and_quotient_undo_each_other(first: int, second: int) -> None:
    assert abs(over(times(first, second), second) - first) <= 1


def test_distances_are_rounded_up() -> None:
    assert apart_ppm(103, 100) == 30_000
    assert apart_ppm(1_000_001, 1_000_000) == 1
    assert apart_ppm(10_000_001, 10_000_000) == 1
    assert apart_ppm(97, 100) == 30_000

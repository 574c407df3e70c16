"""Amounts stay whole and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR, Asset, Money, decimal_text, share_floor


@pytest.mark.parametrize(
    ("amount_minor", "asset", "text"),
    [
        (1234, Asset.USD, "12.34"),
        (5, Asset.EUR, "0.05"),
        (-5, Asset.USD, "-0.05"),
        (1, Asset.DCT, "0.000000001"),
        (100_000_000, Asset.ICP, "1.00000000"),
        (0, Asset.CKUSDC, "0.000000"),
    ],
)
def test_amounts_are_written_with_all_their_decimals(
    amount_minor: int, asset: Asset, text: str
) -> None:
    assert decimal_text(amount_minor, asset) == text


def test_money_shows_its_asset() -> None:
    assert str(Money(1999, Asset.USD)) == "19.99 USD"


@pytest.mark.parametrize("amount_minor", [-1, MAX_AMOUNT_MINOR + 1])
def test_money_out_of_bounds_is_refused_by_field(amount_minor: int) -> None:
    with pytest.raises(Invalid) as refused:
        Money(amount_minor, Asset.USD)
    assert refused.value.field == "amount_minor"


@given(
    amount_minor=st.integers(0, MAX_AMOUNT_MINOR),
    whole=st.integers(1, 2**40),
    cuts=st.lists(st.integers(0, 2**40), min_size=1, max_size=6),
)
def test_cumulative_shares_never_exceed_the_amount_and_end_at_it(
    amount_minor: int, whole: int, cuts: list[int]
) -> None:
    shares = [share_floor(amount_minor, part, whole) for part in [*sorted(cuts), whole]]
    assert shares == sorted(shares)
    assert all(0 <= share <= amount_minor for share in shares)
    assert share_floor(amount_minor, whole, whole) == amount_minor


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(Invalid):
        share_floor(10, 1, 0)

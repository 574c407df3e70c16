"""Prices as whole numbers of 10^-12: exact, comparable, and small enough for every database.

`*_e12` is a price, in units of the quote coin per unit of the base coin, times 10^12. Shares are in millionths (ppm).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from decent_cloud.domain.pricing.errors import BadPrice

E12 = 10**12
PPM = 1_000_000
MAX_E12 = 9_000_000 * E12  # what a 64-bit column holds, and far beyond any token we know

_CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_MOST_DIGITS = 20


def from_decimal(value: Decimal) -> int:
    """Return a price as e12, rounded half to even. Errors: BadPrice for what is not above 0 and below the limit."""
    # The size first: an exponent of millions would take a machine's memory to write out.
    if not value.is_finite() or not -_MOST_DIGITS < value.adjusted() < _MOST_DIGITS:
        raise BadPrice
    found = int(value.scaleb(12, _CONTEXT).to_integral_value(ROUND_HALF_EVEN, _CONTEXT))
    if not 0 < found <= MAX_E12:
        raise BadPrice
    return found


def from_text(text: object) -> int:
    """Read what a source calls a price: text or a decimal, never a binary fraction. Errors: BadPrice."""
    if isinstance(text, Decimal):
        return from_decimal(text)
    if isinstance(text, bool) or not isinstance(text, str | int) or len(str(text)) > 60:
        raise BadPrice
    try:
        return from_decimal(Decimal(text))
    except InvalidOperation:
        raise BadPrice from None


def text_of(e12: int) -> str:
    """Write a price in full, without trailing zeros, such as `0.0204`."""
    whole, rest = divmod(e12, E12)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def times(first_e12: int, second_e12: int) -> int:
    """Return the product of two prices (A in B times B in C is A in C), rounded half up."""
    return (first_e12 * second_e12 + E12 // 2) // E12


def over(first_e12: int, second_e12: int) -> int:
    """Return the quotient of two prices, rounded half up."""
    return (first_e12 * E12 + second_e12 // 2) // second_e12


def median(values: Sequence[int]) -> int:
    """Return the middle one, or the mean of the two in the middle, rounded down; never outside its inputs."""
    ordered = sorted(values)
    middle, odd = divmod(len(ordered), 2)
    return ordered[middle] if odd else (ordered[middle - 1] + ordered[middle]) // 2


def apart_ppm(first: int, second: int) -> int:
    """Return how far `first` is from `second`, in millionths of the second, rounded up."""
    return -(-abs(first - second) * PPM // second)

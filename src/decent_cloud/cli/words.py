"""How amounts, times and sizes are read from and shown to people."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, parse_rfc3339
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR, Asset, decimal_text
from decent_cloud.wire.v1.money import Amount

MAX_CPU_MILLI = 1_024_000


def amount(found: Amount) -> str:
    """Return an amount in major units with its asset."""
    return minor(int(found.amount_minor), found.asset)


def minor(amount_minor: int, asset: Asset) -> str:
    """Return minor units as major units with their asset."""
    return f"{decimal_text(amount_minor, asset)} {asset.value}"


def parse_amount(text: str, asset: Asset, field: str) -> int:
    """Return how many minor units `text` major units are.

    Errors: Invalid naming the field: no number, negative, or finer than the asset.
    """
    try:
        units = Decimal(text).scaleb(asset.decimals)
    except ArithmeticError:
        raise Invalid(f"{text!r} is no amount; write for example 0.05", field=field) from None
    if not units.is_finite() or units != units.to_integral_value():
        raise Invalid(
            f"{text} is finer than {asset.value} goes ({asset.decimals} decimals)", field=field
        )
    if not 0 <= units <= MAX_AMOUNT_MINOR:
        raise Invalid(f"{text} is out of range", field=field)
    return int(units)


def when(text: str | None, now_ms: int) -> str:
    """Return an instant of the API in local time with how far off it is."""
    if not text:
        return "-"
    at_ms = parse_rfc3339(text)
    return f"{local(at_ms)} ({ago(at_ms, now_ms)})"


def local(at_ms: int) -> str:
    """Return an instant in local time."""
    return f"{datetime.fromtimestamp(at_ms // SECOND_MS, tz=UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def ago(at_ms: int, now_ms: int) -> str:
    """Return `5 min ago` or `in 3 h`."""
    span = duration(abs(now_ms - at_ms))
    return f"{span} ago" if at_ms <= now_ms else f"in {span}"


def duration(span_ms: int) -> str:
    """Return a span in its largest useful unit."""
    for unit_ms, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if span_ms >= 2 * unit_ms:
            return f"{span_ms // unit_ms} {name}"
    return f"{span_ms // SECOND_MS} s"


def cores(cpu_milli: int) -> str:
    """Return thousandths of a core as cores."""
    whole, rest = divmod(cpu_milli, 1_000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".")


def parse_cores(text: str, field: str) -> int:
    """Return cores as thousandths of one.

    Errors: Invalid naming the field.
    """
    try:
        milli = Decimal(text).scaleb(3)
        whole = int(milli)
    except (ArithmeticError, ValueError):
        raise Invalid(
            f"{text!r} is no number of cores; write for example 0.5", field=field
        ) from None
    if milli != whole or not 0 <= whole <= MAX_CPU_MILLI:
        raise Invalid("cores are at most 1024 and have at most three decimals", field=field)
    return whole

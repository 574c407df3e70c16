"""Reading what price sources answer: a missing or odd part is a failed source, never a number."""

from __future__ import annotations

from decent_cloud.app.ports.price_sources import SourceFailed
from decent_cloud.kernel.clock import SECOND_MS, parse_rfc3339

_ODD = "answered in another shape than it documents"
_DIGITS = 19


def part(answer: object, *path: str | int) -> object:
    """Walk into an answer by names and places. Errors: SourceFailed."""
    found = answer
    for step in path:
        found = _step(found, step)
    return found


def _step(found: object, step: str | int) -> object:
    try:
        if isinstance(found, dict) and isinstance(step, str):
            return found[step]
        if isinstance(found, list) and isinstance(step, int):
            return found[step]
    except (KeyError, IndexError):
        pass
    raise SourceFailed(_ODD)


def rows(answer: object, *path: str | int) -> list[object]:
    """Return a list that is not empty. Errors: SourceFailed."""
    found = part(answer, *path)
    if not isinstance(found, list):
        raise SourceFailed(_ODD)
    if not found:
        raise SourceFailed("has no trades to show")
    return found


def whole(answer: object, *path: str | int) -> int:
    """Return an integer, given as one or as its digits. Errors: SourceFailed."""
    found = part(answer, *path)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= _DIGITS:
        return int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 10**_DIGITS:
        return found
    raise SourceFailed(_ODD)


def instant_ms(answer: object, *path: str | int) -> int:
    """Return an RFC 3339 time in milliseconds. Errors: SourceFailed."""
    found = part(answer, *path)
    try:
        # More digits than microseconds are cut off: a price is not younger for them.
        head, dot, rest = str(found).replace("Z", "+00:00").partition(".")
        digits = len(rest) - len(rest.lstrip("0123456789"))
        return parse_rfc3339(
            f"{head}{dot}{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}" if dot else head
        )
    except (ValueError, OverflowError):
        raise SourceFailed(_ODD) from None


def seconds_ms(answer: object, *path: str | int) -> int:
    """Return Unix seconds as milliseconds. Errors: SourceFailed."""
    return whole(answer, *path) * SECOND_MS


def expect(answer: object, code: str, *path: str | int) -> None:
    """Refuse an answer that says it is no success. Errors: SourceFailed with what it says."""
    found = part(answer, *path)
    if found != code:
        raise SourceFailed(f"refused: {str(found)[:80]}")

"""Canonical JSON: the single byte string a value may have, written and read."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeAlias

from decent_cloud.domain.keys.errors import NotCanonical

Json: TypeAlias = "str | int | list[Json] | dict[str, Json]"

MAX_DEPTH = 8
MAX_BYTES = 64 * 1024
MAX_INTEGER = 2**53 - 1
MAX_INTEGER_DIGITS = 16


def write(value: Json) -> bytes:
    """Return the canonical bytes: sorted ASCII keys, no blanks, UTF-8, integers 0..2^53-1.

    Errors: `NotCanonical` for any other type or number, a lone surrogate, or nesting over 8
    (the outermost object counts as one).
    """
    _check(value, 0)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError as cause:
        raise NotCanonical("a lone surrogate in a text") from cause


def parse(raw: bytes, limit_bytes: int = MAX_BYTES) -> Json:
    """Return the value of canonical bytes; anything that would be written differently is refused.

    Errors: `NotCanonical`.
    """
    value = read(raw, limit_bytes)
    if write(value) != raw:
        raise NotCanonical
    return value


def read(raw: bytes, limit_bytes: int = MAX_BYTES) -> Json:
    """Return the value of JSON bytes whose layout is free, but with the same types and limits.

    Errors: `NotCanonical`, also for a byte order mark, a repeated key, a fraction or a constant.
    """
    if len(raw) > limit_bytes:
        raise NotCanonical("too long")
    try:
        value: Json = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as cause:
        raise NotCanonical("not JSON") from cause
    _check(value, 0)
    return value


def _check(value: object, depth: int) -> None:
    # Exact types: True == 1 in Python, and a subclass may print as it likes.
    kind = type(value)
    if kind is str:
        return
    if kind is int:
        if not 0 <= value <= MAX_INTEGER:  # type: ignore[operator]  # `kind` is the proof
            raise NotCanonical("a number out of range")
        return
    if depth == MAX_DEPTH:
        raise NotCanonical("nested too deep")
    if isinstance(value, dict) and kind is dict:
        for key, inner in value.items():
            if type(key) is not str or not key.isascii():
                raise NotCanonical("a key that is not ASCII")
            _check(inner, depth + 1)
    elif isinstance(value, list) and kind is list:
        for inner in value:
            _check(inner, depth + 1)
    else:
        raise NotCanonical("only objects, lists, texts and integers")


def _integer(digits: str) -> int:
    # Before int(): a long run of digits costs quadratic time, and "-0" would read as 0.
    if len(digits) > MAX_INTEGER_DIGITS or digits.startswith("-"):
        raise NotCanonical("a number out of range")
    return int(digits)


def _refuse(_text: str) -> NoReturn:
    raise NotCanonical("only integers")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotCanonical("a repeated key")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_refuse,
    parse_int=_integer,
    parse_constant=_refuse,
)

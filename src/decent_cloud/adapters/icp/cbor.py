"""CBOR as the Internet Computer speaks it: self-described, in definite lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cbor2

from decent_cloud.adapters.icp.errors import ReplyUnreadable

_SELF_DESCRIBED = 55_799


def encode(value: object) -> bytes:
    """Encode a request with the self-describing tag that the interface demands."""
    return cbor2.dumps(cbor2.CBORTag(_SELF_DESCRIBED, value))


def decode(raw: bytes) -> Any:
    """Decode exactly one value. Errors: ReplyUnreadable."""
    try:
        value = cbor2.loads(raw)
    except (cbor2.CBORDecodeError, ValueError, RecursionError, MemoryError) as error:
        raise ReplyUnreadable("an answer is not valid CBOR") from error
    if isinstance(value, cbor2.CBORTag):
        raise ReplyUnreadable("an answer has an unknown CBOR tag")
    return value


def decode_map(raw: bytes) -> Mapping[Any, Any]:
    """Decode a map. Errors: ReplyUnreadable."""
    value = decode(raw)
    if not isinstance(value, Mapping):
        raise ReplyUnreadable("an answer is not a CBOR map")
    return value


def blob(value: object) -> bytes:
    """Take a value that must be bytes. Errors: ReplyUnreadable."""
    if not isinstance(value, bytes):
        raise ReplyUnreadable("an answer has another type where bytes are promised")
    return value

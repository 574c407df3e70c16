"""A request's body: read whole within a limit before anyone looks at it, and strict about JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import cast

from litestar.types import HTTPReceiveMessage, Receive, Scope

from decent_cloud.http.refusals import BodyTooLarge
from decent_cloud.kernel.errors import Invalid

MAX_BYTES = 1 << 20
WITHIN_S = 30.0


class ClientGone(Exception):
    """The client hung up before its request was complete."""


async def read_body(
    scope: Scope, receive: Receive, limit_bytes: int, within_s: float = WITHIN_S
) -> bytes:
    """Read the whole body.

    Errors: BodyTooLarge at the first byte above the limit, Invalid for one that trickles in, ClientGone.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise _too_large(limit_bytes)
    try:
        async with asyncio.timeout(within_s):
            return await _collect(receive, limit_bytes)
    except TimeoutError:
        raise Invalid(f"the body did not arrive within {within_s:g} s") from None


async def _collect(receive: Receive, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message["type"] != "http.request":
            continue
        chunk = message["body"]
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
        if not message["more_body"]:
            return b"".join(chunks)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once, then whatever the server still says (disconnects)."""
    given = False

    async def again() -> HTTPReceiveMessage:
        nonlocal given
        if given:
            return cast("HTTPReceiveMessage", await receive())
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check_json(body: bytes) -> None:
    """Refuse what is not JSON, and objects that name a key twice (readers would differ on its meaning)."""
    try:
        json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8") from None
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {error}") from None


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise Invalid(f"{key}: named twice in one object", field=key)
        found[key] = value
    return found


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body may have at most {limit_bytes} bytes")

"""Candid: methods' arguments and replies by interface text of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icp_candid import (  # type: ignore[import-untyped]
    DIDLoader,
    decode,
    encode,
)

from decent_cloud.adapters.icp.errors import ReplyUnreadable


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a canister with the types of its arguments and results."""

    name: str
    arguments: tuple[Any, ...]
    results: tuple[Any, ...]

    def encode(self, *values: object) -> bytes:
        """Encode arguments; options are `[]` or `[x]`, records dictionaries, variants one-entry dictionaries."""
        pairs = zip(self.arguments, values, strict=True)
        return bytes(encode([{"type": kind, "value": value} for kind, value in pairs]))

    def decode(self, reply: bytes) -> Any:
        """Decode the one result. Errors: ReplyUnreadable."""
        return _decoded(reply, self.results, self.name)

    def decode_arguments(self, argument: bytes) -> list[Any]:
        """Decode what a caller sent. Errors: ReplyUnreadable."""
        return [_decoded(argument, self.arguments, self.name)] if self.arguments else []

    def encode_result(self, value: object) -> bytes:
        """Encode the one result."""
        return bytes(encode([{"type": self.results[0], "value": value}]))


def interface(text: str) -> Mapping[str, Method]:
    """Read an interface in Candid's own language: its methods by name."""
    methods = DIDLoader().load_did_source(text)["methods"]
    return {
        name: Method(name, tuple(kind.argTypes), tuple(kind.retTypes))
        for name, kind in methods.items()
    }


def _decoded(raw: bytes, kinds: tuple[Any, ...], name: str) -> Any:
    try:
        found = decode(raw, list(kinds))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ReplyUnreadable(f"{name}: not what the interface promises") from error
    return found[0]["value"]

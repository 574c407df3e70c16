"""JSON in and out: the only user of msgspec outside `wire` and settings."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from decent_cloud.kernel.errors import Invalid

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that we receive: unknown fields are refused."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A body that we send: readers ignore fields they do not know."""


def to_json(value: object) -> bytes:
    """Encode a struct, dataclass or plain value as JSON."""
    return msgspec.json.encode(value)


def from_json(raw: bytes | str, type_: type[T]) -> T:
    """Decode JSON into `type_`; raises Invalid naming the field."""
    try:
        return msgspec.json.decode(raw, type=type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise Invalid(message, field=path.strip("`").lstrip(".")) from error
    except msgspec.DecodeError as error:
        raise Invalid(f"not JSON: {error}") from error


def plain(value: object) -> Any:
    """Turn structs and dataclasses into dictionaries, lists and scalars that JSON can carry."""
    # Through JSON, since the direct way keeps tuples as tuples.
    return msgspec.json.decode(msgspec.json.encode(value))


def convert(value: object, type_: type[T]) -> T:
    """Read plain dictionaries into `type_`; raises Invalid naming the field."""
    try:
        return msgspec.convert(value, type=type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise Invalid(message, field=path.strip("`").lstrip(".")) from error

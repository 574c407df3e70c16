"""Reading a parsed object: exactly the listed fields, each of the type that is asked for."""

from __future__ import annotations

from collections.abc import Collection

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.b64u import HASH_BYTES
from decent_cloud.domain.keys.canonical import MAX_INTEGER
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.kernel.ids import AccountId, Digest, Kid

MAX_COUNT = 2**31 - 1
KID_BYTES = 16


class Fields:
    """An object of exactly these keys; every getter refuses another type with `BadShape`."""

    def __init__(self, value: object, keys: Collection[str]) -> None:
        if type(value) is not dict or value.keys() != set(keys):
            raise BadShape(f"expected exactly the fields {', '.join(sorted(keys))}")
        self._value: dict[str, object] = value

    def text(self, key: str) -> str:
        return _text(self._value[key], key)

    def choice(self, key: str, allowed: Collection[str]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise BadShape(f"{key} has no such choice")
        return value

    def integer(self, key: str, low: int = 0, high: int = MAX_INTEGER) -> int:
        value = self._value[key]
        if type(value) is not int or not low <= value <= high:
            raise BadShape(f"{key} is not an integer in {low}..{high}")
        return value

    def count(self, key: str, low: int = 0) -> int:
        """Return a small integer; `v, seq, n, gen, r, suite` end at 2^31-1."""
        return self.integer(key, low, MAX_COUNT)

    def version(self) -> None:
        """Refuse any `v` but 1."""
        self.integer("v", 1, 1)

    def raw(self, key: str, length: int | None = None) -> bytes:
        return b64u.decode(self.text(key), length)

    def account(self, key: str) -> AccountId:
        return AccountId(self.raw(key, HASH_BYTES).hex())

    def digest(self, key: str) -> Digest:
        return Digest(self.raw(key, HASH_BYTES).hex())

    def digest_or_none(self, key: str) -> Digest | None:
        """Return the hash, or None for the empty text."""
        return None if self.text(key) == "" else self.digest(key)

    def kid(self, key: str) -> Kid:
        self.raw(key, KID_BYTES)
        return Kid(self.text(key))

    def value(self, key: str) -> object:
        return self._value[key]

    def values(self, key: str) -> list[object]:
        value = self._value[key]
        if type(value) is not list:
            raise BadShape(f"{key} is not a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(_text(value, key) for value in self.values(key))

    def inner(self, key: str, keys: Collection[str]) -> Fields:
        return Fields(self._value[key], keys)


def ascending(texts: Collection[str], key: str) -> None:
    """Refuse texts that are not ASCII, or not sorted and unique."""
    # ASCII only: beyond it, code point order and UTF-16 order differ between languages.
    if not all(text.isascii() for text in texts) or list(texts) != sorted(set(texts)):
        raise BadShape(f"{key} is not sorted, unique ASCII text")


def _text(value: object, key: str) -> str:
    if type(value) is not str:
        raise BadShape(f"{key} is not a text")
    return value

"""The one error root: a stable code, a kind that edges map to status or exit code, a message,
details.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What a caller can do about an error; edges map it to a status, an exit code or a retry."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    EXHAUSTED = "exhausted"
    TRY_LATER = "try_later"
    INTERNAL = "internal"


class DecentError(Exception):
    """Something failed."""

    code: ClassVar[str] = "error"
    kind: ClassVar[Kind] = Kind.INTERNAL

    def __init__(self, message: str | None = None, **details: object) -> None:
        """Take a message for a person (default: the first line of the class docstring)."""
        default = (type(self).__doc__ or "").strip().split("\n", 1)[0]
        self.message = message or default
        self.details = details
        super().__init__(self.message)


class Invalid(DecentError):
    """The input is not valid."""

    code = "invalid"
    kind = Kind.INVALID

    def __init__(self, message: str | None = None, *, field: str = "", **details: object) -> None:
        """Name the offending field (dotted path, empty for the whole) beside the message."""
        super().__init__(message, **({"field": field} if field else {}), **details)
        self.field = field


class Unauthenticated(DecentError):
    """The request carries no valid proof of who is calling."""

    code = "unauthenticated"
    kind = Kind.UNAUTHENTICATED


class Forbidden(DecentError):
    """The caller may not do this."""

    code = "forbidden"
    kind = Kind.FORBIDDEN


class NotFound(DecentError):
    """There is no such thing, or the caller may not see it."""

    code = "not_found"
    kind = Kind.NOT_FOUND


class Conflict(DecentError):
    """The state changed in the meantime; read it again."""

    code = "conflict"
    kind = Kind.CONFLICT


class StaleVersion(Conflict):
    """Another writer changed this record first."""

    code = "stale_version"


class AlreadyExists(Conflict):
    """A record with this identity exists already."""

    code = "already_exists"


class Exhausted(DecentError):
    """A limit or a stock is used up."""

    code = "exhausted"
    kind = Kind.EXHAUSTED


class RateLimited(Exhausted):
    """Too many requests; wait and try again."""

    code = "rate_limited"

    def __init__(
        self, message: str | None = None, *, retry_after_s: int, **details: object
    ) -> None:
        """Say after how many seconds a retry can succeed."""
        super().__init__(message, retry_after_s=retry_after_s, **details)
        self.retry_after_s = retry_after_s


class TryLater(DecentError):
    """Not possible right now; the same request may succeed later."""

    code = "try_later"
    kind = Kind.TRY_LATER


class Internal(DecentError):
    """The program broke one of its own rules."""

    code = "internal"
    kind = Kind.INTERNAL

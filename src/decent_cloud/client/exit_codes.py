"""Which exit code each kind of error ends a program with; `decent` and `dc-agent` share it."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.kernel.errors import DecentError, Kind

KEY_REFUSED = 3
_CODES: Mapping[Kind, int] = {
    Kind.INTERNAL: 1,
    Kind.INVALID: 2,
    Kind.UNAUTHENTICATED: 4,
    Kind.FORBIDDEN: 4,
    Kind.NOT_FOUND: 5,
    Kind.CONFLICT: 6,
    Kind.EXHAUSTED: 7,
    Kind.TRY_LATER: 8,
}


# The platform refuses for the same reasons as we do; its words come back as a code.
_KEY_CODES = frozenset({KeyRefused.code, *(one.code for one in KeyRefused.__subclasses__())})


def exit_code(error: DecentError) -> int:
    """Return the exit code: 3 for every refusal of the key protocol, here or there, else by kind."""
    refused = isinstance(error, KeyRefused) or error.code in _KEY_CODES
    return KEY_REFUSED if refused else _CODES[error.kind]

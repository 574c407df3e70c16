"""How failures look on the wire: the one map from an error's kind to a status, and problem+json (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from decent_cloud.http.refusals import BodyTooLarge, MethodNotAllowed, NoSuchRoute
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.errors import DecentError, Internal, Invalid, Kind, RateLimited, TryLater
from decent_cloud.wire.v1.problems import FieldError, Problem

PROBLEM_JSON = "application/problem+json"
TRY_LATER_S = 2

STATUS: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.EXHAUSTED: 409,  # a stock or a business limit; a rate limit is 429
    Kind.TRY_LATER: 503,
    Kind.INTERNAL: 500,
}
_BY_CLASS: Mapping[type[DecentError], int] = {
    RateLimited: 429,
    BodyTooLarge: 413,
    MethodNotAllowed: 405,
}
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_MISSING_FIELD = re.compile(r"missing required field `([^`]*)`")
_INTERNAL_DETAIL = "Something broke on our side. Nothing was changed; quote the request id."


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure ready to send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    code: str


def status_of(error: DecentError) -> int:
    """Return the HTTP status of an error."""
    for class_, status in _BY_CLASS.items():
        if isinstance(error, class_):
            return status
    return STATUS[error.kind]


def failure_of(error: Exception, request_id: str) -> Failure:
    """Render any exception; what we did not foresee shows nothing of itself."""
    known = as_decent(error)
    status = status_of(known)
    retry_after_s = _retry_after_s(known)
    problem = Problem(
        status=status,
        code=known.code,
        title=HTTPStatus(status).phrase,
        detail=_INTERNAL_DETAIL if known.kind is Kind.INTERNAL else known.message,
        request_id=request_id,
        errors=_field_errors(known),
        retry_after_s=retry_after_s,
    )
    headers = [("content-type", PROBLEM_JSON)]
    if retry_after_s is not None:
        headers.append(("retry-after", str(retry_after_s)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("www-authenticate", 'Signature realm="decent"'))
    if isinstance(error, MethodNotAllowedException) and error.headers:
        headers += [("allow", v) for k, v in error.headers.items() if k.lower() == "allow"]
    return Failure(status, tuple(headers), to_json(problem), known.code)


def as_decent(error: Exception) -> DecentError:
    """Turn the framework's exceptions and everything unforeseen into our own words."""
    if isinstance(error, DecentError):
        return error
    if isinstance(error, NotFoundException):
        return NoSuchRoute()
    if isinstance(error, MethodNotAllowedException):
        return MethodNotAllowed()
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _refused_input(error)
    return Internal()


def invalid_body(error: Invalid) -> Invalid:
    """Name the field itself where the decoder names only the object around it."""
    for pattern, message in ((_UNKNOWN_FIELD, "unknown field"), (_MISSING_FIELD, "missing")):
        found = pattern.search(error.message)
        if found:
            field = f"{error.field}.{found[1]}" if error.field else found[1]
            return Invalid(f"{field}: {message}", field=field)
    return Invalid(
        f"{error.field}: {error.message}" if error.field else error.message, field=error.field
    )


def _refused_input(error: HTTPException) -> Invalid:
    """Read the framework's list of refused parameters: only its first is reported."""
    extra = error.extra if isinstance(error.extra, Sequence) else ()
    for item in extra:
        if isinstance(item, Mapping):
            field = str(item.get("key", ""))
            return invalid_body(Invalid(str(item.get("message", "")), field=field))
    return Invalid(str(error.detail))


def _field_errors(error: DecentError) -> tuple[FieldError, ...]:
    field = error.field if isinstance(error, Invalid) else ""
    return (FieldError(field=field, message=error.message),) if field else ()


def _retry_after_s(error: DecentError) -> int | None:
    if isinstance(error, RateLimited):
        return error.retry_after_s
    if isinstance(error, TryLater) or error.kind is Kind.TRY_LATER:
        return TRY_LATER_S
    return None

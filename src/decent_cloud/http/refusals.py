"""What the HTTP edge itself refuses, before any use case runs."""

from __future__ import annotations

from decent_cloud.kernel.errors import Conflict, Invalid, NotFound, RateLimited, Unauthenticated


class SignatureRefused(Unauthenticated):
    """The request's signature is missing, incomplete or does not match the request."""

    code = "bad_request_signature"


class ClockSkew(Unauthenticated):
    """The request was signed too long ago, or with a clock that runs ahead."""

    code = "clock_skew"


class Replayed(Unauthenticated):
    """This signature was used before; sign each request anew, also a retry."""

    code = "replayed_signature"


class IdempotencyKeyNeeded(Invalid):
    """Every write needs an Idempotency-Key header: 1 to 80 of A-Z a-z 0-9 _ -."""

    code = "idempotency_key_needed"


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used for another request; take a new key."""

    code = "idempotency_mismatch"


class BodyTooLarge(Invalid):
    """The request's body is too large."""

    code = "body_too_large"


class NoSuchRoute(NotFound):
    """There is no such route; see /api/v1/docs."""

    code = "no_such_route"


class MethodNotAllowed(Invalid):
    """This route does not take that method."""

    code = "method_not_allowed"


class TooManyStreams(RateLimited):
    """Too many open event streams; close one first."""

    code = "too_many_streams"

"""What can go wrong between us and the platform, as errors with a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.wire.v1.problems import FieldError, Problem

_KINDS: Mapping[int, Kind] = {
    400: Kind.INVALID,
    401: Kind.UNAUTHENTICATED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    405: Kind.INVALID,
    409: Kind.CONFLICT,
    410: Kind.NOT_FOUND,
    412: Kind.CONFLICT,
    413: Kind.INVALID,
    415: Kind.INVALID,
    422: Kind.INVALID,
    429: Kind.EXHAUSTED,
    502: Kind.TRY_LATER,
    503: Kind.TRY_LATER,
    504: Kind.TRY_LATER,
}


def kind_of_status(status: int) -> Kind:
    """Return what a caller can do about a failure with this status."""
    return _KINDS.get(status, Kind.INVALID if 400 <= status < 500 else Kind.INTERNAL)


class ApiProblem(DecentError):
    """The platform refused the request."""

    def __init__(self, problem: Problem, hint: str = "") -> None:
        """Take over the platform's code and words; `hint` is what this side knows about the cause."""
        # The code is the server's, one per instance: the class has none of its own.
        self.__dict__["code"] = problem.code
        self.__dict__["kind"] = kind_of_status(problem.status)
        self.status = problem.status
        self.errors: tuple[FieldError, ...] = problem.errors
        self.request_id = problem.request_id
        self.retry_after_s = problem.retry_after_s
        text = problem.detail or problem.title
        super().__init__(
            f"{text} ({hint})" if hint else text,
            request_id=problem.request_id,
            errors=[{"field": one.field, "message": one.message} for one in problem.errors],
        )


class Unreachable(DecentError):
    """The platform does not answer; whether it acted on the request is not known."""

    code = "platform_unreachable"
    kind: ClassVar[Kind] = Kind.TRY_LATER


class BadAnswer(DecentError):
    """The platform answered something this program does not understand."""

    code = "bad_answer"

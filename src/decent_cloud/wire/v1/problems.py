"""Failures as problem details (RFC 9457)."""

from decent_cloud.kernel.codec import Answer


class FieldError(Answer, frozen=True):
    """One field that was refused and why."""

    field: str
    message: str


class Problem(Answer, frozen=True):
    """Why a request failed. `code` is stable; `type` is `about:blank`; `errors` names fields."""

    status: int
    code: str
    title: str
    detail: str
    request_id: str
    type: str = "about:blank"
    errors: tuple[FieldError, ...] = ()
    retry_after_s: int | None = None

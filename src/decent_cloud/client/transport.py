"""Sends requests to the platform: signed, with time limits, retried where that is safe, answers typed."""

from __future__ import annotations

import random
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import httpx

from decent_cloud.client.errors import ApiProblem, BadAnswer, Unreachable
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.errors import DecentError, Invalid
from decent_cloud.wire.v1.problems import Problem

T = TypeVar("T")

PREFIX = "/api/v1"
SKEW_TOLERATED_MS = 3_000
MAX_RETRY_AFTER_S = 30
_RETRIED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take and how often it is tried; a stream is quiet at most `silence_s`."""

    connect_s: float = 5.0
    answer_s: float = 15.0
    silence_s: float = 40.0
    attempts: int = 4
    first_pause_s: float = 0.2
    longest_pause_s: float = 5.0


class Transport:
    """One platform origin; may be used by several threads at once.

    Every write carries an Idempotency-Key, so a write whose answer was lost is sent again, signed
    anew, under the same key.
    """

    def __init__(
        self,
        origin: str,
        auth: httpx.Auth | None = None,
        *,
        limits: Limits = Limits(),
        clock: Clock | None = None,
        via: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`origin` is scheme, host and port; `via` takes the place of the network (tests)."""
        self.origin = _checked(origin)
        self.skew_ms = 0
        self._auth = auth
        self._limits = limits
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=self.origin,
            timeout=httpx.Timeout(limits.answer_s, connect=limits.connect_s),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
            headers={"User-Agent": "decent-cloud-client", "Accept": "application/json"},
            follow_redirects=False,
            trust_env=False,
            transport=via,
        )

    def get(self, path: str, answer: type[T], query: Mapping[str, str] | None = None) -> T:
        """Read `path` (after the prefix).

        Errors: ApiProblem, Unreachable, BadAnswer.
        """
        return self._decoded(self._send("GET", path, query=query), answer)

    def write(
        self, method: str, path: str, answer: type[T], body: object = None, *, key: str = ""
    ) -> T:
        """Send a struct (or nothing) under an Idempotency-Key, minted if none is given.

        Errors: ApiProblem, Unreachable (whether it took effect is unknown), BadAnswer.
        """
        raw = b"" if body is None else codec.to_json(body)
        return self._decoded(self._send(method, path, raw, key or fresh_key()), answer)

    @contextmanager
    def stream(self, path: str, last_event_id: str = "") -> Iterator[httpx.Response]:
        """Open an event stream; the response's lines are read by the caller.

        Errors: ApiProblem, Unreachable.
        """
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        patience = httpx.Timeout(self._limits.silence_s, connect=self._limits.connect_s)
        request = self._http.build_request(
            "GET", f"{PREFIX}{path}", headers=headers, timeout=patience
        )
        try:
            response = self._http.send(request, stream=True, auth=self._auth)
        except httpx.HTTPError as error:
            raise Unreachable(_why(error)) from error
        try:
            if response.status_code != 200:
                response.read()
                raise self._problem(response)
            yield response
        finally:
            response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(
        self,
        method: str,
        path: str,
        raw: bytes = b"",
        key: str = "",
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        if raw:
            headers["Content-Type"] = "application/json"
        pause_s = self._limits.first_pause_s
        for left in reversed(range(self._limits.attempts)):
            try:
                # A new request each time: the signature must be new, the key must not.
                response = self._http.request(
                    method,
                    f"{PREFIX}{path}",
                    content=raw,
                    headers=headers,
                    params=dict(query) if query else None,
                    auth=self._auth,
                )
            except httpx.HTTPError as error:
                failure: DecentError = Unreachable(_why(error))
                wait_s = 0.0
            else:
                self._note_date(response)
                if response.is_success:
                    return response
                problem = self._problem(response)
                if response.status_code not in _RETRIED:
                    raise problem
                failure, wait_s = problem, float(problem.retry_after_s or 0)
            if not left or wait_s > MAX_RETRY_AFTER_S:
                raise failure
            self._sleep(max(wait_s, pause_s * random.uniform(0.5, 1.0)))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, self._limits.longest_pause_s)
        raise AssertionError("at least one attempt")

    def _decoded(self, response: httpx.Response, answer: type[T]) -> T:
        try:
            return codec.from_json(response.content or b"null", answer)
        except Invalid as error:
            raise BadAnswer(
                f"{response.request.method} {response.request.url.path}: {error.message}"
            ) from error

    def _problem(self, response: httpx.Response) -> ApiProblem:
        try:
            problem = codec.from_json(response.content, Problem)
        except Invalid:  # a proxy's page, not the platform's words
            text = f"the platform answered {response.status_code} {response.reason_phrase}"
            problem = Problem(
                status=response.status_code, code="error", title=text, detail=text, request_id=""
            )
        hint = self._skew_hint() if response.status_code == 401 else ""
        return ApiProblem(problem, hint)

    def _note_date(self, response: httpx.Response) -> None:
        try:
            theirs = parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError):
            return
        # The header has whole seconds; half of one is the best guess.
        self.skew_ms = int(theirs.timestamp()) * 1_000 + 500 - self._clock.now_ms()

    def _skew_hint(self) -> str:
        if abs(self.skew_ms) <= SKEW_TOLERATED_MS:
            return ""
        way = "behind" if self.skew_ms > 0 else "ahead of"
        seconds = abs(self.skew_ms) // 1_000
        return f"this machine's clock is {seconds} s {way} the platform's; set it right"


def fresh_key() -> str:
    """Return a random Idempotency-Key."""
    return secrets.token_urlsafe(18)


def _checked(origin: str) -> str:
    url = httpx.URL(origin)
    if (
        url.scheme not in {"http", "https"}
        or not url.host
        or url.path not in {"", "/"}
        or url.query
    ):
        raise Invalid(
            f"not a platform address: {origin!r}; expected for example https://cloud.example",
            field="platform",
        )
    return str(url).rstrip("/")


def _why(error: httpx.HTTPError) -> str:
    """Say in a few words what happened to a call that got no answer."""
    if isinstance(error, httpx.TimeoutException):
        return "the platform did not answer in time"
    if isinstance(error.__cause__, ssl.SSLError) or "CERTIFICATE" in str(error):
        return f"the platform's certificate was refused: {error}"
    return f"no connection to the platform: {str(error) or type(error).__name__}"

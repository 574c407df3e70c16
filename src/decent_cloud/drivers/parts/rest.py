"""A small JSON client for a vendor's HTTP API: always a time limit, never a hidden retry, only the five errors."""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from decent_cloud.drivers.contract import Broken, DriverError, TryLater
from decent_cloud.drivers.parts.rate_budget import RateBudget

_CONNECT_S = 10.0
_SERVER_ERROR_AFTER_S = 10

Value = str | int | bool
Query = Mapping[str, Value | Sequence[Value]]
Upload = tuple[str, bytes, str]  # file name, content, media type


@dataclass(frozen=True, slots=True)
class Answered:
    """What a vendor answered: `body` decoded (None if there was none), `headers` with lower-case names."""

    method: str
    path: str
    status: int
    body: Any = field(repr=False)  # may hold a password
    headers: Mapping[str, str] = field(repr=False)
    reason: str = ""
    wait_s: int = 0  # after a 429, how long the vendor wants to be left alone

    @property
    def ok(self) -> bool:
        """Tell whether the vendor did what was asked."""
        return 200 <= self.status < 300


Judge = Callable[[Answered], DriverError]


def judge_by_status(answered: Answered) -> DriverError | None:
    """Return TryLater for what every vendor means by 408, 429 and 5xx, None for what it must say itself."""
    if answered.status in {408, 429} or answered.status >= 500:
        said = "too many calls" if answered.status == 429 else "the vendor's side fails"
        return TryLater(
            f"{said} ({answered.status} for {answered.method} {answered.path})",
            after_s=answered.wait_s or _SERVER_ERROR_AFTER_S,
            status=answered.status,
        )
    return None


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Read the usual authorities once: it takes longer than a call."""
    return httpx.create_ssl_context()


class RestClient:
    """A client of one account; `judge` turns a refusal into one of the contract's errors.

    A call that breaks off or takes too long is TryLater: whether it was done is unknown until a read
    says so, and the client never sends it again by itself. Redirects are not followed and the
    environment's proxies are used only if `trust_env`. `verify` is a context with other authorities
    than the usual ones.
    """

    def __init__(
        self,
        origin: str,
        judge: Judge,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        budget: RateBudget | None = None,
        verify: ssl.SSLContext | None = None,
        trust_env: bool = True,
    ) -> None:
        self._judge = judge
        self._budget = budget or RateBudget()
        self._client = httpx.Client(
            base_url=origin.rstrip("/"),
            headers={"Accept": "application/json", "User-Agent": "decent-cloud", **headers},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S)),
            follow_redirects=False,
            verify=verify or _authorities(),
            trust_env=trust_env,
        )

    @property
    def budget(self) -> RateBudget:
        """Return the account's budget of calls."""
        return self._budget

    def get(self, path: str, query: Query | None = None, *, allow: Sequence[int] = ()) -> Answered:
        """Read; statuses in `allow` are returned instead of judged."""
        return self.call("GET", path, query=query, allow=allow)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, Upload] | None = None,
        allow: Sequence[int] = (),
    ) -> Answered:
        """Make one call and return the answer if it went well or its status is in `allow`.

        Errors: what `judge` makes of a refusal; TryLater for a broken or slow connection or an empty
        budget; Broken for an answer that is no JSON.
        """
        self._budget.spend()
        try:
            response = self._client.request(
                method, path, params=query, json=body, data=form, files=files
            )
        except httpx.TransportError as error:
            raise TryLater(
                f"no answer to {method} {path} ({type(error).__name__})", path=path
            ) from error
        except (httpx.InvalidURL, httpx.HTTPError) as error:
            raise Broken(f"{method} {path}: {type(error).__name__}", path=path) from error
        answered = self._read(method, path, response)
        if answered.ok or answered.status in allow:
            return answered
        raise self._judge(answered)

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    def _read(self, method: str, path: str, response: httpx.Response) -> Answered:
        headers = {name.lower(): value for name, value in response.headers.items()}
        wait_s = self._budget.learn(response.status_code, headers)
        body = None
        if response.content:
            try:
                body = json.loads(response.content)
            except ValueError as error:
                if response.is_success:
                    raise Broken(f"the answer to {method} {path} is no JSON", path=path) from error
        reason = response.reason_phrase
        return Answered(method, path, response.status_code, body, headers, reason, wait_s)

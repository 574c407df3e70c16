"""What happens when we break: a problem that gives nothing away, and a log line that finds it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import httpx
import pytest
import structlog

from decent_cloud.app.ports.unit_of_work import Topic, UnitOfWork
from decent_cloud.domain.keys.errors import UnknownHead
from decent_cloud.http.application import application
from decent_cloud.http.body import ClientGone, read_body
from decent_cloud.http.edge import Edge
from decent_cloud.http.errors import STATUS, failure_of, status_of
from decent_cloud.kernel.errors import (
    DecentError,
    Exhausted,
    Invalid,
    Kind,
    NotFound,
    RateLimited,
    TryLater,
)
from tests.support.platform import Platform

T = TypeVar("T")


class BrokenDatabase:
    """A database that fails in a way nobody foresaw."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        raise self._error

    async def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        raise self._error

    def listen(self, topic: Topic) -> Any:
        raise self._error

    async def close(self) -> None:
        return None


def _ask(edge: Edge, error: Exception) -> httpx.Response:
    async def ask() -> httpx.Response:
        app = cast("Any", application(replace(edge, db=BrokenDatabase(error))))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            return await client.get("/api/v1/offerings", headers={"x-request-id": "find-me-1"})

    return asyncio.run(ask())


def test_what_nobody_foresaw_gives_nothing_away(platform: Platform) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = _ask(platform.server.edge, RuntimeError("secret: hunter2"))
    assert answer.status_code == 500
    problem = answer.json()
    assert problem["code"] == "internal"
    assert problem["request_id"] == "find-me-1"
    assert "hunter2" not in answer.text
    assert [line["request_id"] for line in logs if line["log_level"] == "error"] == ["find-me-1"]


def test_a_database_that_is_away_is_tried_later(platform: Platform) -> None:
    answer = _ask(platform.server.edge, TryLater("the database restarts"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["detail"] == "the database restarts"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_status(kind: Kind) -> None:
    assert kind in STATUS


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("x"), 400),
        (NotFound(), 404),
        (Exhausted(), 409),
        (RateLimited(retry_after_s=7), 429),
        (TryLater(), 503),
        (UnknownHead(), 503),
        (DecentError(), 500),
    ],
)
def test_errors_have_their_status(error: DecentError, status: int) -> None:
    assert status_of(error) == status


def test_a_rate_limit_says_when_in_body_and_header() -> None:
    failure = failure_of(RateLimited("slow down", retry_after_s=7), "r")
    assert dict(failure.headers)["retry-after"] == "7"
    assert json.loads(failure.body)["retry_after_s"] == 7


def test_a_body_that_trickles_in_is_given_up() -> None:
    async def never() -> Any:
        await asyncio.sleep(60)

    async def read() -> None:
        await read_body(cast("Any", {"headers": []}), never, 10, within_s=0.02)

    with pytest.raises(Invalid, match="did not arrive"):
        asyncio.run(read())


def test_a_client_that_hangs_up_gets_no_answer() -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def read() -> None:
        await read_body(cast("Any", {"headers": []}), gone, 10)

    with pytest.raises(ClientGone):
        asyncio.run(read())

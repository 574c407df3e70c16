"""The client asks once, has a time limit, and keeps the vendor's budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from decent_cloud.drivers.contract import Broken, DriverError, Rejected, TryLater
from decent_cloud.drivers.parts.rate_budget import RateBudget, RateHeaders
from decent_cloud.drivers.parts.rest import Answered, RestClient, judge_by_status
from tests.support.clouds.server import FakeClock
from tests.support.loopback import Asked, Reply, serving


def judge(answered: Answered) -> DriverError:
    return judge_by_status(answered) or Rejected(f"refused with {answered.status}")


@contextmanager
def client(origin: str) -> Iterator[RestClient]:
    made = RestClient(origin, judge, headers={"Authorization": "Bearer x"}, timeout_s=5)
    try:
        yield made
    finally:
        made.close()


def test_query_body_and_headers_go_as_given_and_json_comes_back() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(201, b'{"a": 1}')

    with serving(answer) as origin, client(origin) as mine:
        said = mine.call("POST", "/x", query={"tag": ["a", "b"]}, body={"n": 1})
    assert (said.status, said.body) == (201, {"a": 1})
    assert seen[0].target == "/x?tag=a&tag=b"
    assert seen[0].headers["authorization"] == "Bearer x"
    assert seen[0].body == b'{"n":1}'


def test_a_cut_answer_is_try_later_and_was_asked_once() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(cut=True)

    with serving(answer) as origin, client(origin) as mine, pytest.raises(TryLater):
        mine.call("POST", "/x", body={})
    assert len(seen) == 1


def test_nobody_there_is_try_later() -> None:
    with serving(lambda _: Reply()) as origin:
        pass
    with client(origin) as mine, pytest.raises(TryLater):
        mine.get("/x")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(503, b"<html>"), TryLater),
        (Reply(429, b"{}", {"Retry-After": "7"}), TryLater),
        (Reply(422, b"{}"), Rejected),
        (Reply(200, b"<html>"), Broken),
    ],
)
def test_refusals_are_judged(reply: Reply, error: type[DriverError]) -> None:
    with serving(lambda _: reply) as origin, client(origin) as mine, pytest.raises(error) as caught:
        mine.get("/x")
    if reply.status == 429:
        assert caught.value.details["after_s"] == 7


def test_an_allowed_status_comes_back() -> None:
    with serving(lambda _: Reply(404, b"{}")) as origin, client(origin) as mine:
        assert mine.get("/x", allow=(404,)).status == 404


def budget(clock: FakeClock, headers: RateHeaders | None = None, per_s: float = 0) -> RateBudget:
    def sleep(seconds: float) -> None:
        clock.advance(round(seconds * 1_000))

    return RateBudget(headers, per_s=per_s, clock=clock, sleep=sleep)


def test_an_empty_budget_that_fills_drop_by_drop_waits_a_second() -> None:
    clock = FakeClock()
    mine = budget(clock, RateHeaders("ratelimit-remaining", "ratelimit-reset", refill_per_s=1))
    mine.learn(200, {"RateLimit-Remaining": "0", "RateLimit-Reset": "9999999999"})
    before_ms = clock.now_ms()
    mine.spend()
    assert clock.now_ms() - before_ms == 1_000


def test_an_empty_budget_that_comes_back_at_once_says_when() -> None:
    clock = FakeClock()
    mine = budget(clock, RateHeaders("ratelimit-remaining", "ratelimit-reset"))
    reset_s = clock.now_ms() // 1_000 + 60
    mine.learn(200, {"ratelimit-remaining": "0", "ratelimit-reset": str(reset_s)})
    with pytest.raises(TryLater) as caught:
        mine.spend()
    assert caught.value.after_s == 60
    clock.advance(60_000)
    mine.spend()
    mine.learn(200, {"ratelimit-remaining": "4999", "ratelimit-reset": str(reset_s)})
    assert mine.remaining == 4_999


def test_after_too_many_calls_none_goes_out_for_as_long_as_the_vendor_said() -> None:
    clock = FakeClock()
    mine = budget(clock)
    assert mine.learn(429, {"Retry-After": "30"}) == 30
    with pytest.raises(TryLater):
        mine.spend()
    clock.advance(30_000)
    mine.spend()


def test_calls_are_paced_where_a_vendor_counts_by_the_second() -> None:
    clock = FakeClock()
    mine = budget(clock, per_s=20)
    before_ms = clock.now_ms()
    for _ in range(21):
        mine.spend()
    assert clock.now_ms() - before_ms == 1_000

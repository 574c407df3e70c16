"""Failures become typed errors, retries stay within bounds, answers are read leniently."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest

from decent_cloud.client.errors import ApiProblem, BadAnswer, Unreachable
from decent_cloud.client.exit_codes import exit_code
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.keys.errors import ChainRule
from decent_cloud.kernel.codec import Answer
from decent_cloud.kernel.errors import Conflict, DecentError, Invalid, Kind, TryLater
from tests.support.loopback import Asked, Reply, serving


class Thing(Answer, frozen=True):
    name: str


def problem(status: int, code: str, **more: object) -> Reply:
    body = {
        "status": status,
        "code": code,
        "title": "No",
        "detail": "not like this",
        "request_id": "r1",
        **more,
    }
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/problem+json"})


def transport(origin: str, pauses: list[float] | None = None, attempts: int = 3) -> Transport:
    kept = pauses if pauses is not None else []
    return Transport(origin, limits=Limits(attempts=attempts, answer_s=2.0), sleep=kept.append)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.INVALID),
        (401, Kind.UNAUTHENTICATED),
        (403, Kind.FORBIDDEN),
        (404, Kind.NOT_FOUND),
        (409, Kind.CONFLICT),
        (418, Kind.INVALID),
        (422, Kind.INVALID),
        (429, Kind.EXHAUSTED),
        (500, Kind.INTERNAL),
        (503, Kind.TRY_LATER),
    ],
)
def test_a_status_becomes_a_kind_and_the_code_is_the_servers(status: int, kind: Kind) -> None:
    with serving(lambda _asked: problem(status, "because")) as origin:
        client = transport(origin)
        with pytest.raises(ApiProblem) as caught:
            client.get("/things", Thing)
        client.close()
    assert (caught.value.kind, caught.value.code, caught.value.status) == (kind, "because", status)
    assert caught.value.message == "not like this"
    assert ApiProblem.code == "error"


def test_fields_that_were_refused_are_kept() -> None:
    errors = [{"field": "hours", "message": "too many"}]
    with serving(lambda _asked: problem(400, "invalid", errors=errors)) as origin:
        client = transport(origin)
        with pytest.raises(ApiProblem) as caught:
            client.write("POST", "/things", Thing)
        client.close()
    assert caught.value.errors[0].field == "hours"
    assert caught.value.details["errors"] == errors


def test_a_busy_platform_is_asked_again_after_the_time_it_names() -> None:
    replies = [problem(429, "rate_limited", retry_after_s=7), Reply(body=b'{"name":"a","new":1}')]
    pauses: list[float] = []
    with serving(lambda _asked: replies.pop(0)) as origin:
        client = transport(origin, pauses)
        assert client.get("/things", Thing) == Thing(name="a")
        client.close()
    assert pauses == [7.0]


def test_a_long_wait_is_the_callers_decision() -> None:
    pauses: list[float] = []
    with serving(lambda _asked: problem(429, "rate_limited", retry_after_s=3_600)) as origin:
        client = transport(origin, pauses)
        with pytest.raises(ApiProblem) as caught:
            client.get("/things", Thing)
        client.close()
    assert (pauses, caught.value.retry_after_s) == ([], 3_600)


def test_attempts_are_bounded_and_pauses_grow() -> None:
    pauses: list[float] = []
    with serving(lambda _asked: problem(503, "try_later")) as origin:
        client = transport(origin, pauses, attempts=4)
        with pytest.raises(ApiProblem):
            client.get("/things", Thing)
        client.close()
    assert len(pauses) == 3
    assert all(0.1 * 2**n <= pause <= 0.2 * 2**n for n, pause in enumerate(pauses))


def test_nobody_there_is_unreachable() -> None:
    with serving(lambda _asked: Reply()) as origin:
        pass
    client = transport(origin)
    with pytest.raises(Unreachable) as caught:
        client.get("/things", Thing)
    client.close()
    assert caught.value.kind is Kind.TRY_LATER


def test_an_answer_of_another_shape_is_named() -> None:
    with serving(lambda _asked: Reply(body=b'{"name":3}')) as origin:
        client = transport(origin)
        with pytest.raises(BadAnswer, match="GET /api/v1/things"):
            client.get("/things", Thing)
        client.close()


def test_a_proxys_page_is_a_problem_too() -> None:
    with serving(lambda _asked: Reply(404, b"<html>")) as origin:
        client = transport(origin)
        with pytest.raises(ApiProblem, match="404"):
            client.get("/things", Thing)
        client.close()


def test_a_wrong_clock_is_named_where_the_signature_was_refused() -> None:
    reply = problem(401, "unauthenticated")
    late = Reply(reply.status, reply.body, {**reply.headers, "Date": formatdate(0, usegmt=True)})

    class At:
        def now_ms(self) -> int:
            return 90_000

    def answer(_asked: Asked) -> Reply:
        return late

    with serving(answer) as origin:
        client = Transport(origin, clock=At(), sleep=lambda _s: None)
        with pytest.raises(ApiProblem, match="clock"):
            client.get("/things", Thing)
        client.close()
    assert client.skew_ms != 0


@pytest.mark.parametrize("origin", ["cloud.example", "ftp://x", "https://x/path", "http://x/?a=1"])
def test_an_address_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(Invalid, match="platform address"):
        Transport(origin)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Invalid(), 2),
        (ChainRule(), 3),
        (Conflict(), 6),
        (TryLater(), 8),
        (Unreachable(), 8),
        (DecentError(), 1),
    ],
)
def test_exit_codes_follow_the_kind_and_key_refusals_have_their_own(
    error: DecentError, code: int
) -> None:
    assert exit_code(error) == code

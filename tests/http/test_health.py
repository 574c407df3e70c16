"""What operators ask a server: alive, ready, and what it counts."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx

from decent_cloud.http.application import application
from decent_cloud.http.edge import Edge
from decent_cloud.http.metrics import token_fits
from decent_cloud.kernel.clock import MINUTE_MS, SystemClock
from decent_cloud.kernel.status import ContractState
from decent_cloud.programs.server_settings import ServerSettings
from tests.support.market import publish, rent
from tests.support.people import Api, Person, Shop
from tests.support.platform import Platform, running_platform


def test_a_process_that_answers_is_healthy(nobody: Api) -> None:
    assert nobody.http.get("/healthz").json() == {"status": "ok"}


def test_a_server_is_ready_once_its_jobs_tick(nobody: Api) -> None:
    deadline = time.monotonic() + 5
    while (answer := nobody.http.get("/readyz")).status_code != 200:
        assert answer.json()["code"] == "try_later"
        assert "retry-after" in answer.headers
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.json() == {"status": "ready"}


def test_a_server_whose_database_is_gone_is_not_ready(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        platform.run(platform.server.db.close())
        api = Api(platform.url)
        answer = api.http.get("/readyz")
        assert answer.status_code == 503
        assert "no writes" in answer.json()["detail"]
        assert "retry-after" in answer.headers
        assert api.http.get("/healthz").status_code == 200


def test_a_server_whose_jobs_stand_still_is_not_ready(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        platform.run(platform.server.runner.stop())
        later = AheadClock(2 * MINUTE_MS)
        edge = replace(platform.server.edge, clock=later)
        answer = platform.run(_readyz(edge))
        assert answer.status_code == 503
        assert "jobs stand still" in answer.json()["detail"]


class AheadClock:
    """A clock that runs ahead of the machine's."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return SystemClock().now_ms() + self._ahead_ms


async def _readyz(edge: Edge) -> httpx.Response:
    transport = httpx.ASGITransport(cast("Any", application(edge)))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        return await client.get("/readyz")


def test_requests_are_counted_by_route_not_by_path(ada: Person, nobody: Api) -> None:
    ada.api.get(f"/accounts/{ada.id}")
    text = nobody.http.get("/metrics").text
    assert 'route="/api/v1/accounts/{account}",status="200"' in text
    assert ada.id not in text
    assert "decent_http_request_seconds_bucket" in text


def test_records_are_counted_by_state(ada: Person, shop: Shop, nobody: Api) -> None:
    rent(ada, publish(shop))
    text = nobody.http.get("/metrics").text
    assert 'decent_records{kind="job",state="dead"} 0.0' in text
    counted = re.findall(r'decent_records\{kind="contract",state="(\w+)"\} ([\d.]+)', text)
    assert {state for state, _ in counted} == set(ContractState)
    assert sum(float(count) for _, count in counted) == 1


def test_metrics_are_for_this_machine_or_a_token(tmp_path: Path) -> None:
    settings = ServerSettings(data=str(tmp_path), listen="127.0.0.1:0", metrics_token="t0ken")
    with running_platform(tmp_path, settings=settings) as platform:
        api = Api(platform.url)
        assert api.http.get("/metrics").status_code == 403
        headers = {"authorization": "Bearer t0ken"}
        assert api.http.get("/metrics", headers=headers).status_code == 200
    assert not token_fits("Bearer ", "")
    assert not token_fits("Bearer x", "y")


def test_the_api_describes_itself(nobody: Api) -> None:
    document = nobody.get("/openapi.json")
    assert document.headers["content-type"].startswith("application/json")
    assert document.json()["openapi"].startswith("3.1")
    page = nobody.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "POST /api/v1/contracts" in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1", "")


def test_the_platform_says_who_it_is(nobody: Api, platform: Platform) -> None:
    found = nobody.get("/platform").json()
    assert found["mode"] == "development"
    assert found["origins"] == [platform.url]
    assert found["processors"] == ["sandbox"]
    assert len(found["platform_id"]) == 64

"""Prices over HTTP: a whole platform that asks exchanges on loopback, and what everybody may see of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.app import prices
from decent_cloud.app.prices import Round
from decent_cloud.domain.keys.operator_prices import SignedPrice, sign_operator_price
from decent_cloud.kernel.clock import DAY_MS, MINUTE_MS, SystemClock
from decent_cloud.kernel.prices import PriceSource
from decent_cloud.programs.server import Ports
from decent_cloud.programs.server_settings import ServerSettings
from tests.domain.pricing.looks import FLOOR_MINOR, market
from tests.support.exchanges import EXCHANGES, Fault, Market, addresses, trading
from tests.support.market import OpenDoor
from tests.support.people import Api, Person, new_person
from tests.support.platform import Platform, running_platform


def settled(platform: Platform, minutes: int = 33) -> None:
    """Write an hour's honest rounds into the database, the last of them now."""
    now_ms = SystemClock().now_ms()

    for back in reversed(range(minutes)):
        at_ms = now_ms - back * MINUTE_MS
        found = Round(tuple(market(at_ms)), (), FLOOR_MINOR)
        platform.write(lambda uow, found=found, at_ms=at_ms: prices.record_round(uow, found, at_ms))  # type: ignore[misc]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = Path(tmp_path_factory.mktemp("priced"))
    with running_platform(folder, Ports(reach=OpenDoor())) as running:
        settled(running)
        yield running


@pytest.fixture
def anyone(priced: Platform) -> Api:
    return Api(priced.url)


def operator(platform: Platform) -> Person:
    person = new_person(platform.url)
    platform.grant_admin(person.id)
    return person


def by_hand(person: Person, asset: str = "DCT", **changed: Any) -> dict[str, Any]:
    platform_id = person.api.get("/platform").json()["platform_id"]
    price = SignedPrice(
        **{
            "account_id": person.id,
            "platform_id": platform_id,
            "asset": asset,
            "dollars": "0.5",
            "number": 1,
            "until_ms": SystemClock().now_ms() + DAY_MS,
            **changed,
        }
    )
    return {"statement": sign_operator_price(price, person.keys).to_json()}


def test_without_a_source_every_token_says_so_and_none_has_a_number(nobody: Api) -> None:
    found = nobody.get("/prices").json()
    assert [one["asset"] for one in found["prices"]] == ["ICP", "ckBTC", "ckUSDC", "ckUSDT", "DCT"]
    for one in found["prices"]:
        assert (one["usd"], one["origin"], one["can_quote"]) == (None, None, False)
        assert one["reason"] == "no source has been asked yet"
    assert found["sources"] == []


def test_a_price_is_shown_with_what_it_rests_on(anyone: Api) -> None:
    found = anyone.get("/prices/ICP").json()
    assert (found["usd"], found["origin"], found["state"]) == ("5", "market", "ok")
    assert found["can_quote"] is True
    assert 0 <= found["age_s"] < 120
    assert {one["source"] for one in found["observations"]} >= {"coinbase", "okx"}
    dct = anyone.get("/prices/dct").json()
    assert dct["usd"] == "0.02"


def test_history_is_paged_newest_first(anyone: Api) -> None:
    first = anyone.get("/prices/ICP/history", limit=20).json()
    assert len(first["items"]) == 20
    second = anyone.get("/prices/ICP/history", limit=20, cursor=first["next"]).json()
    assert (len(second["items"]), second["next"]) == (11, "")
    times = [one["at"] for one in first["items"] + second["items"]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("range_", ["day", "week", "month", "year"])
def test_a_chart_comes_as_columns_of_one_length(range_: str, anyone: Api) -> None:
    found = anyone.get("/prices/ICP/chart", range=range_).json()
    lengths = {len(found[name]) for name in ("at_s", "open", "high", "low", "close")}
    assert len(lengths) == 1
    assert 1 <= lengths.pop() <= 800
    assert set(found["close"]) == {"5"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/prices/DOGE", 404),
        ("/prices/USD", 404),
        ("/prices/ICP/chart?range=ever", 400),
        ("/prices/ICP/history?limit=201", 400),
        ("/prices/ICP/history?cursor=abc", 400),
        ("/prices/ICP/history?cursor=" + "9" * 16, 400),
        ("/prices?asset=ICP", 400),
    ],
)
def test_odd_questions_are_refused(path: str, status: int, anyone: Api) -> None:
    assert anyone.get(path).status_code == status


def test_a_quote_is_locked_and_its_accounts_own(priced: Platform) -> None:
    ada, bob = new_person(priced.url), new_person(priced.url)
    answer = ada.api.post("/quotes", {"asset": "ICP", "usd_minor": "1001"})
    assert answer.status_code == 201
    found = answer.json()
    assert found["amount"] == {"amount_minor": "200200000", "asset": "ICP"}
    assert found["price_of"] == {"amount_minor": "1001", "asset": "USD"}
    assert found["used"] is False
    assert len(found["observations"]) >= 5
    assert ada.api.get(f"/quotes/{found['id']}").json() == found
    assert bob.api.get(f"/quotes/{found['id']}").json()["code"] == "no_such_quote"


@pytest.mark.parametrize("usd_minor", ["0", "-1", "1.5", "x", "1" * 17, 100])
def test_an_amount_that_is_none_is_not_quoted(usd_minor: object, priced: Platform) -> None:
    ada = new_person(priced.url)
    answer = ada.api.post("/quotes", {"asset": "ICP", "usd_minor": usd_minor})
    assert answer.status_code == 400


def test_what_cannot_be_quoted_is_refused_with_the_reason(ada: Person) -> None:
    answer = ada.api.post("/quotes", {"asset": "DCT", "usd_minor": "100"})
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "price_unavailable"
    assert "no source has been asked yet" in problem["detail"]


def test_an_operator_sets_withdraws_and_everybody_sees_whose_price_it_is(
    platform: Platform, nobody: Api
) -> None:
    boss = operator(platform)
    assert boss.api.get("/admin/prices/DCT").status_code == 404
    body = by_hand(boss)
    answer = boss.api.put("/admin/prices/DCT", body)
    assert (answer.status_code, answer.json()["next_n"]) == (200, 2)
    seen = nobody.get("/prices/DCT").json()
    assert (seen["usd"], seen["origin"], seen["state"]) == ("0.5", "operator", "halted")
    assert seen["until"] == answer.json()["until"]
    assert boss.api.put("/admin/prices/DCT", body).json()["code"] == "wrong_sequence"
    assert boss.api.put("/admin/prices/ICP", body).status_code == 400
    assert boss.api.write("DELETE", "/admin/prices/DCT").json()["withdrawn_at"]
    assert nobody.get("/prices/DCT").json()["usd"] is None
    stranger = new_person(platform.url)
    assert stranger.api.put("/admin/prices/DCT", by_hand(stranger, number=2)).status_code == 403


def test_an_operator_resumes_only_what_is_halted(platform: Platform, priced: Platform) -> None:
    boss = operator(platform)
    answer = boss.api.post("/admin/prices/ICP/resume")
    assert (answer.status_code, answer.json()["usd"]) == (200, None)
    other = operator(priced)
    assert other.api.post("/admin/prices/ICP/resume").json()["code"] == "illegal_transition"


def test_meters_and_readiness_tell_age_and_breaker(priced: Platform) -> None:
    api = Api(priced.url)
    text = api.http.get("/metrics").text
    assert 'decent_price_state{asset="ICP",state="ok"} 1.0' in text
    assert 'decent_price_state{asset="ICP",state="halted"} 0.0' in text
    assert 'decent_price_age_seconds{asset="DCT"}' in text
    _until(lambda: api.http.get("/readyz").status_code == 200)
    figures = api.http.get("/readyz").json()["prices"]
    assert {one["asset"]: one["state"] for one in figures}["ICP"] == "ok"


@pytest.mark.slow
def test_a_server_asks_the_exchanges_it_was_told_to_and_survives_their_faults(
    tmp_path: Path,
) -> None:
    """Given six exchanges of which one is shut and one is absurd, when a round is over, then all is said."""
    exchanges = Market()
    exchanges.faults[PriceSource.BINANCE] = Fault.SHUT
    exchanges.faults[PriceSource.KUCOIN] = Fault.ABSURD
    with trading(exchanges) as origin:
        settings = ServerSettings(
            data=str(tmp_path),
            listen="127.0.0.1:0",
            price_sources=tuple(one.value for one in EXCHANGES),
            price_addresses=addresses(origin),
            coingecko_key="s3cret",
        )
        with running_platform(tmp_path, settings=settings) as platform:
            api = Api(platform.url)
            _until(lambda: bool(api.get("/prices").json()["sources"]), 30)
            found = api.get("/prices").json()
            icp = found["prices"][0]
            assert (icp["usd"], icp["reason"]) == (None, "1 of 3 good rounds")
            problems = {one["problem"] for one in found["sources"] if one["source"] == "binance"}
            assert problems == {"answered HTTP 451"}
            assert "s3cret" not in api.get("/prices").text
    keys = {headers.get("x-cg-demo-api-key") for source, _, headers in exchanges.asked}
    assert keys == {None, "s3cret"}


def _until(done: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""Which price sources a server asks: those that its settings name, and nothing of a mistyped one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from decent_cloud.adapters.reach.guard import AddressGuard
from decent_cloud.app.ports.price_sources import Moment, SourceFailed
from decent_cloud.jobs import prices
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.prices import PriceSource
from decent_cloud.programs import server_jobs
from decent_cloud.programs.server_prices import sources
from decent_cloud.programs.server_settings import ServerSettings, read_settings
from tests.support.exchanges import EXCHANGES, Market, addresses, trading

GUARD = AddressGuard(loopback=True)


def names(settings: ServerSettings) -> list[PriceSource]:
    found = sources(settings, GUARD, SystemClock())

    async def close() -> None:
        for source in found:
            await source.close()

    asyncio.run(close())
    return [source.name for source in found]


def test_nobody_is_asked_unless_the_operator_says_so() -> None:
    assert names(ServerSettings()) == []
    assert server_jobs.observing((), 0) == ()
    assert "prices.minutely" not in {cron.name for cron in server_jobs.crons()}
    assert "prices.minutely" in {cron.name for cron in server_jobs.crons(observe=True)}
    assert prices.hourly().name in {cron.name for cron in server_jobs.crons()}


def test_each_source_can_be_switched_on_alone() -> None:
    for source in EXCHANGES:
        assert names(ServerSettings(price_sources=(source.value,))) == [source]
    both = ServerSettings(price_sources=("okx", "kraken", "okx"))
    assert names(both) == [PriceSource.OKX, PriceSource.KRAKEN]


@pytest.mark.skipif(find_spec("pyblst") is None, reason="the libraries are an extra")
def test_canisters_can_be_switched_on_too() -> None:
    settings = ServerSettings(price_sources=("icpswap", "cmc"))
    assert names(settings) == [PriceSource.ICPSWAP, PriceSource.CMC]


def test_settings_come_from_the_environment_and_the_key_is_not_shown() -> None:
    environment = {
        "DECENT_PRICE_SOURCES": "okx, kraken",
        "DECENT_PRICE_ADDRESSES": "okx=http://127.0.0.1:1",
        "DECENT_COINGECKO_KEY": "s3cret",
        "DECENT_POOL_FLOOR_USD": "100",
    }
    settings = read_settings(environment=environment)
    assert settings.price_sources == ("okx", "kraken")
    assert settings.pool_floor_usd == 100
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PRICE_SOURCES", "okx,kongswap"),
        ("PRICE_ADDRESSES", "okx=ftp://x"),
        ("PRICE_ADDRESSES", "okx"),
        ("PRICE_ADDRESSES", "nobody=https://x"),
        ("POOL_FLOOR_USD", "-1"),
    ],
)
def test_what_is_mistyped_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_settings(environment={f"DECENT_{name}": text})
    assert refused.value.field == name.lower()


def test_the_guard_stands_before_every_source(tmp_path: Path) -> None:
    exchanges = Market()
    with trading(exchanges) as origin:
        settings = ServerSettings(
            data=str(tmp_path), price_sources=("okx",), price_addresses=addresses(origin)
        )

        async def ask(guard: AddressGuard) -> None:
            (source,) = sources(settings, guard, SystemClock())
            try:
                await source.read(source.pairs[0], Moment(SystemClock().now_ms(), None))
            finally:
                await source.close()

        asyncio.run(ask(GUARD))
        assert len(exchanges.asked) == 1
        with pytest.raises(Exception, match="loopback"):
            asyncio.run(ask(replace(GUARD, loopback=False)))
        assert len(exchanges.asked) == 1
    with pytest.raises(SourceFailed):
        asyncio.run(ask(GUARD))

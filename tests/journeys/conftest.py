"""Markets for journeys: on SQLite, on both databases, and on Docker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools.engine import Engine
from devtools.market import Market, Shape


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    """Give a fresh market on SQLite and fake clouds."""
    with Market(tmp_path) as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def market_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Market]:
    """Give a fresh market on either database."""
    database = ""
    if request.param == "postgres":
        make: Callable[..., str] = request.getfixturevalue("postgres_database")
        database = make()
    with Market(tmp_path, Shape(database=database)) as running:
        yield running


@pytest.fixture(scope="module")
def shared_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Give one market to all tests of a module: each makes a pool of its own."""
    with Market(Path(tmp_path_factory.mktemp("market"))) as running:
        yield running


@pytest.fixture(scope="module")
def docker_market(
    docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Market]:
    """Give one market on a real engine to all tests of a module."""
    shape = Shape(driver="docker", driver_settings={"engine": docker_engine.url})
    with Market(Path(tmp_path_factory.mktemp("docker-market")), shape) as running:
        yield running

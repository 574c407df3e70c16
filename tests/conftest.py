"""What every test stands on: loopback only, a PostgreSQL when asked for, and an honest word on what was left out."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from devtools.engine import Engine
from tests.support.docker_engine import engine_or_skip
from tests.support.postgres import PostgresMissing, PostgresServer, running_postgres

LEFT_OUT = Path(__file__).parent.parent / "build" / "left-out"

# The conformance kit ships with the package; its failures shall show values as test files do. Here, and not beside
# the drivers' tests, because others import the kit too and whoever comes first decides.
pytest.register_assert_rewrite("decent_cloud.drivers.conformance")

# Two cores shared with everything else: a slow example says nothing about the code.
settings.register_profile("decent", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("decent")


class OffLoopback(AssertionError):
    """A test tried to leave this machine."""


class _Fence:
    """Refuses connections that leave loopback; tests of container networks open it for themselves."""

    def __init__(self) -> None:
        self.private_too = False

    def allows(self, host: str) -> bool:
        if host in {"", "localhost"}:
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return address.is_loopback or (self.private_too and address.is_private)

    def audit(self, event: str, args: tuple[object, ...]) -> None:
        if event not in {"socket.connect", "socket.sendto"}:
            return
        address = args[1]
        if isinstance(address, tuple) and not self.allows(str(address[0])):
            raise OffLoopback(f"tests stay on loopback, not {address[0]}")


_fence = _Fence()
sys.addaudithook(_fence.audit)


@pytest.fixture(autouse=True)
def _loopback_only(request: pytest.FixtureRequest) -> Iterator[None]:
    _fence.private_too = request.node.get_closest_marker("docker") is not None
    yield
    _fence.private_too = False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for the whole session, or skip what needs it."""
    try:
        with running_postgres() as server:
            yield server
    except PostgresMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """Give one Docker engine for the whole session, or skip what needs it."""
    with engine_or_skip() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Give the address of a database that all tests of the session share; it starts empty."""
    return postgres_server.fresh_database()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[Callable[..., str]]:
    """Make databases for one test: `postgres_database(template, prepare)` returns an address, removed afterwards."""
    made: list[str] = []

    def make(template: str = "", prepare: Callable[[str], None] | None = None) -> str:
        made.append(postgres_server.fresh_database(template, prepare))
        return made[-1]

    yield make
    for url in made:
        postgres_server.drop_database(url)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = LEFT_OUT.read_text().splitlines() if LEFT_OUT.exists() else []
    if lines:
        terminalreporter.section("left out: not installed on this machine")
        for line in lines:
            terminalreporter.write_line(line)

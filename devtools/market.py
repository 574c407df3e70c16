"""A whole market for tests and benches: a server, a provider with agents, tenants, and what must hold of them.

with Market(folder) as market:
    agent = market.new_agent()
    agent.start()
    offering = market.offering()
    contract = market.tenant.rent(offering)
    market.wait_state(contract.id, "active")
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec

from decent_cloud.adapters.processors.sandbox.world import StoredCharge, StoredRefund, World
from decent_cloud.adapters.sql.engine import connect
from decent_cloud.agent.journal import (
    PLATFORM_ID,
    PLATFORM_KEY,
    PLATFORM_ORIGIN,
    POOL,
    PROVIDER,
)
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.keys import load_keys, make_keys
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.transport import Transport
from decent_cloud.drivers.fake.backend import FakeBackend, Machine
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.programs.server import grant_admin
from decent_cloud.programs.server_keys import load_keys as load_server_keys
from decent_cloud.programs.server_settings import ServerSettings
from decent_cloud.wire.v1.contracts import ContractView
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.actors import Provider, Tenant, draft
from devtools.containers import Containers
from devtools.processes import AgentProgram, ServerProgram, free_port, until
from devtools.shared_clock import SharedClock

ENDED = frozenset({"completed", "cancelled", "rejected", "expired", "failed"})
QUICK: Mapping[str, object] = {
    "poll_s": 1,
    "heartbeat_s": 1,
    "read_lag_ms": 200,
    "retry_first_ms": 50,
    "retry_longest_s": 1,
    "drain_s": 5,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of market: database address (empty: SQLite), driver, more settings.

    `port` is the server's (0: any); with `proxy_port` people and agents call that one instead. The server
    lives at `address`, in the network that `network` stands for. `engines` where there are several.
    """

    database: str = ""
    driver: str = "fake"
    driver_settings: Mapping[str, object] = field(default_factory=dict)
    agent_settings: Mapping[str, object] = field(default_factory=dict)
    server_settings: Mapping[str, object] = field(default_factory=dict)
    port: int = 0
    proxy_port: int = 0
    address: str = "127.0.0.1"
    network: str = ""
    engines: tuple[str, ...] = ()


class Market:
    """One platform with its people; everything lies in one folder."""

    def __init__(self, folder: Path, shape: Shape = Shape()) -> None:
        """Write settings; nothing runs yet."""
        self.folder = folder
        self.shape = shape
        self.data = folder / "platform"
        self.clock_file = folder / "clock"
        self.clock = SharedClock(self.clock_file)
        self._backend_file = folder / "cloud.db"
        self.agents: list[AgentProgram] = []
        self._people: list[Tenant] = []
        self.began_s = SystemClock().now_ms() // 1_000
        port, address = shape.port or free_port(), shape.address
        self.url = f"http://{address}:{shape.proxy_port or port}"
        settings = ServerSettings(
            data=str(self.data),
            listen=f"{address}:{port}",
            public_origins=tuple({self.url, f"http://{address}:{port}"}),
            database=shape.database,
            **shape.server_settings,  # type: ignore[arg-type]
        )
        backends = (self._backend_file,) if shape.driver == "fake" else ()
        self.server = ServerProgram(folder, settings, self.clock_file, backends)
        self.server.network = shape.network

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        for agent in self.agents:
            agent.kill()
        self.server.kill()
        for person in self._people:
            person.close()
        if "containers" in self.__dict__:
            self.containers.close()

    # People

    @cached_property
    def provider(self) -> Provider:
        made = Provider(self.url, self.clock, self.shape.driver)
        self._people.append(made)
        return made

    @cached_property
    def tenant(self) -> Tenant:
        return self.new_tenant()

    def change_tenant(self) -> Tenant:
        """Let a newcomer be the market's tenant from now on."""
        self.__dict__.pop("tenant", None)
        return self.tenant

    def new_tenant(self) -> Tenant:
        made = Tenant(self.url, self.clock)
        self._people.append(made)
        return made

    @cached_property
    def operator(self) -> Tenant:
        """Return an account that was made the operator's on the server's host."""
        somebody = self.new_tenant()
        grant_admin(self.server.settings, somebody.id)
        return somebody

    @cached_property
    def cloud(self) -> FakeBackend:
        """Return the fake cloud that the agents of a fake market work on; it has the machine's clock."""
        return FakeBackend(self._backend_file)

    @cached_property
    def containers(self) -> Containers:
        """Return what is on the engines that the agents of a Docker market work on."""
        urls = self.shape.engines or (str(self.shape.driver_settings["engine"]),)
        return Containers(urls, self.began_s)

    def new_agent(self, name: str = "", pool: str = "", **changes: object) -> AgentProgram:
        """Make an agent's folder, key and registration (in the first pool if none is named); it is not started."""
        name = name or f"agent{len(self.agents) + 1}"
        folder = self.folder / name
        folder.mkdir()
        fields: dict[str, object] = {
            "platform": self.url,
            "data_dir": str(folder),
            "driver": self.shape.driver,
            "public_host": "127.0.0.1",
            "driver_settings": self._driver_settings(len(self.agents)),
        }
        settings = AgentSettings(**{**QUICK, **fields, **self.shape.agent_settings, **changes})  # type: ignore[arg-type]
        keys = make_keys(settings.key_file)
        self.provider.add_agent(keys, pool or self.provider.pool)
        self.register(settings, pool)
        agent = AgentProgram(self.folder, settings, self.clock_file, name)
        self.agents.append(agent)
        return agent

    def register(self, settings: AgentSettings, pool: str = "") -> None:
        """Write down for an agent which platform, provider and pool it works for."""
        with Transport(self.server.url) as unsigned:
            platform = AgentApi(unsigned).platform()
        journal = SqliteJournal(settings.journal)
        journal.set_facts(
            {
                PLATFORM_ORIGIN: self.url,
                PLATFORM_ID: platform.platform_id,
                PLATFORM_KEY: platform.key,
                PROVIDER: self.provider.id,
                POOL: pool or self.provider.pool,
            }
        )
        journal.close()

    def _driver_settings(self, number: int) -> dict[str, object]:
        if not self.on_fakes:
            return dict(self.shape.driver_settings)
        # All agents are on one host, so each has ports of its own.
        first = 20_000 + number % 40 * 1_000
        ports = {"first_port": first, "last_port": first + 999}
        return {"path": str(self._backend_file), **ports, **self.shape.driver_settings}

    # Work

    def offering(self, **changes: object) -> OfferingView:
        """Publish an offering and wait until an agent can serve it."""
        made = self.provider.list_offering(draft(**{"pool": self.provider.pool, **changes}))
        return self.wait_rentable(made)

    def wait_rentable(self, offering: OfferingView) -> OfferingView:
        """Wait until an order for an offering would pass, which needs an agent that was heard lately."""

        def look() -> OfferingView | None:
            view = self.provider.api.get(f"/offerings/{offering.id}", OfferingView)
            return view if view.rentable else None

        return until("the offering can be rented", look)

    def wait_state(self, contract: str, *states: str, timeout_s: float = 20.0) -> ContractView:
        """Wait until a contract is in one of the states; fail at once in an end that is none of them."""

        def look() -> ContractView | None:
            view = self.tenant.contract(contract)
            if view.state not in states and view.state in ENDED:
                raise AssertionError(f"the contract ended {view.state}: {view.end_reason}")
            return view if view.state in states else None

        return until(f"the contract is {' or '.join(states)}", look, timeout_s)

    def wait_gone(self, contract: str, timeout_s: float = 20.0) -> None:
        """Wait until nothing of a contract is left at the backend, networks included."""

        def nothing() -> bool:
            if self.alive(contract):
                return False
            return self.on_fakes or not self.containers.networks(contract)

        until("nothing is left", nothing, timeout_s)

    def wait_refunded(self, contract: str, timeout_s: float = 20.0) -> ContractView:
        """Wait until a contract has ended and all its refunds are paid and confirmed."""

        def look() -> ContractView | None:
            view = self.tenant.contract(contract)
            states = {each.state.value for each in view.refunds}
            return view if view.state in ENDED and states == {"confirmed"} else None

        return until("the refund is confirmed", look, timeout_s)

    def pass_time(self, ms: int) -> None:
        """Let time pass while the platform is awake; a mere push of the clock is an outage to it."""
        settings = self.server.settings

        async def tick_ahead() -> None:
            db = connect(settings.database_url, load_server_keys(self.data).master)
            try:
                await db.write(_move_tick(ms))
            finally:
                await db.close()

        asyncio.run(tick_ahead())
        self.clock.push(ms)

    # What was done outside

    @property
    def on_fakes(self) -> bool:
        return self.shape.driver == "fake"

    def alive(self, contract: str) -> int:
        """Return how many machines of a contract there are, stopped ones too."""
        found = self.cloud.machines if self.on_fakes else self.containers.there
        return len(found(contract))

    def running(self, contract: str) -> int:
        """Return how many machines of a contract are on."""
        if self.on_fakes:
            return sum(not each.stopped for each in self.cloud.machines(contract))
        return sum(each["State"] == "running" for each in self.containers.there(contract))

    def made(self, contract: str) -> int:
        """Return how many machines were ever made for a contract."""
        return len(self.machines(contract)) if self.on_fakes else self.containers.started(contract)

    def machines(self, contract: str) -> tuple[Machine, ...]:
        """Return every machine that was ever made for a contract on the fake cloud."""
        return self.cloud.machines(contract, deleted=True)

    def charges(self) -> tuple[StoredCharge, ...]:
        """Return what the processor took, by its own record."""
        with closing(self._world()) as world:
            return world.charges()

    def refunds(self) -> tuple[StoredRefund, ...]:
        """Return what the processor gave back, by its own record."""
        with closing(self._world()) as world:
            return world.refunds()

    def paid_back_minor(self, contract: str) -> tuple[int, int]:
        """Return what the processor took and gave back for one contract."""
        taken = [each for each in self.charges() if contract in each.key]
        names = {each.external for each in taken}
        back = [each for each in self.refunds() if each.charge in names and not each.refused]
        return (
            sum(each.asked.amount_minor for each in taken),
            sum(each.amount.amount_minor for each in back),
        )

    def _world(self) -> World:
        return World(self.data / "sandbox-processor.db")

    def journal(self, agent: AgentProgram) -> SqliteJournal:
        """Open an agent's journal beside it."""
        return SqliteJournal(agent.settings.journal)

    def kid(self, agent: AgentProgram) -> str:
        return load_keys(agent.settings.key_file).kid

    def check_books(self) -> None:
        """See that debits equal credits in every asset and balances equal their transfers."""
        books = self.operator.books()
        off = [line for line in books.lines if line.difference.amount_minor != "0"]
        if off or not books.rebuilt:
            raise AssertionError(f"the books do not balance: {msgspec.to_builtins(books)}")

    def check_terms(self, contract: ContractView) -> None:
        """See that a contract's money is all somewhere: held, released, fee, refunded, credited or lost."""
        for term in contract.terms:
            out = (term.refunded, term.credited, term.lost)
            parts = (term.held, term.released, term.fee, *out)
            total = sum(int(part.amount_minor) for part in parts)
            if total != int(term.paid.amount_minor):
                raise AssertionError(f"money is missing in {msgspec.to_builtins(term)}")

    def repeated_steps(self) -> Counter[str]:
        """Return how often the server's jobs passed each step."""
        return Counter(self.server.steps())


def _move_tick(ms: int) -> Callable[[UnitOfWork], bool]:
    def move(uow: UnitOfWork) -> bool:
        last_ms = uow.platform.last_tick_ms()
        return last_ms > 0 and uow.platform.tick(last_ms, last_ms + ms)

    return move


def query(file: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Read a SQLite file beside its owner."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(sql, values).fetchall()

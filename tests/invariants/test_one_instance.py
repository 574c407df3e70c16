"""Invariant 3, the platform's side: no order of leases, kills, lost answers and slow backends makes two machines.

The agents here do what the protocol says: look before they create, create under leave only, report under
their fence. That the real agent does so is tried in tests/agent and tests/journeys; later work adds cloud backends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.status import ContractState, Desired
from decent_cloud.wire.v1.assignments import TerminatedReport
from tests.contracts.conftest import Held
from tests.support.usecases import Agent, Member, Shop, Usecases, failed

SLOWEST_CREATE_MS = 14 * MINUTE_MS  # shows up before a lease's end and 15 minutes more are over


@dataclass
class Backend:
    """Machines by name, which need not be unique; one that is being made is not seen by any look."""

    running: list[str] = field(default_factory=list)
    making: list[tuple[int, str]] = field(default_factory=list)
    made: int = 0

    def create(self, name: str, ready_ms: int) -> None:
        self.making.append((ready_ms, name))
        self.made += 1

    def pass_time(self, now_ms: int) -> None:
        for ready in [one for one in self.making if one[0] <= now_ms]:
            self.making.remove(ready)
            self.running.append(ready[1])

    @property
    def live(self) -> int:
        return len(self.running) + len(self.making)


@dataclass
class Worker:
    """An agent with a journal: it may be killed between any two of its steps and goes on from there."""

    agent: Agent
    backend: Backend
    fence: int = 0
    leave: bool = False
    created: bool = False


@dataclass
class World:
    use: Usecases
    shop: Shop
    tenant: Member
    contract: Contract
    workers: list[Worker]

    @property
    def name(self) -> str:
        return f"dc-{self.contract.id}"

    @property
    def live(self) -> int:
        backends = {id(worker.backend): worker.backend for worker in self.workers}
        return sum(backend.live for backend in backends.values())

    def lease(self, worker: Worker) -> None:
        worker.fence = self.use.lease(worker.agent, self.contract).fence
        worker.leave = worker.created = False

    def renew(self, worker: Worker) -> None:
        self.use.renew(worker.agent, self.contract, worker.fence)

    def ask(self, worker: Worker) -> None:
        self.use.start_create(worker.agent, self.contract, worker.fence)
        worker.leave = True

    def ask_and_lose_the_answer(self, worker: Worker) -> None:
        self.use.start_create(worker.agent, self.contract, worker.fence)

    def create(self, worker: Worker, slow_ms: int) -> None:
        if not worker.leave or worker.created or self.name in worker.backend.running:
            return
        # The last thing before the call: is the lease still ours? If not, the fence says so.
        self.use.renew(worker.agent, self.contract, worker.fence)
        if self.use.assignment(self.contract).desired is Desired.RUNNING:
            worker.backend.create(self.name, self.use.now_ms + slow_ms)
            worker.created = True

    def report(self, worker: Worker) -> None:
        if self.name not in worker.backend.running:
            return
        success = self.use.success(worker.agent, self.tenant, self.contract, worker.fence)
        answer = self.use.report(worker.agent, self.contract, success)
        if answer.assignment.desired is Desired.ABSENT:
            self.destroy(worker)

    def give_up(self, worker: Worker) -> None:
        if self.name in worker.backend.running or worker.created:
            return
        self.use.report(worker.agent, self.contract, failed(worker.fence))

    def destroy(self, worker: Worker) -> None:
        """Only on an explicit `absent`; a read then says that it is gone."""
        if self.use.assignment(self.contract).desired is not Desired.ABSENT:
            return
        if worker.backend.making:
            return
        worker.backend.running.clear()
        self.use.report(worker.agent, self.contract, TerminatedReport(scope=worker.agent.scope))

    def forget(self, worker: Worker) -> None:
        """The journal is lost with the disk; what the backend holds is not."""
        worker.fence, worker.leave, worker.created = 0, False, False


def a_world(use: Usecases) -> World:
    """Two agents of one engine and one of another, all in one pool, and a paid contract."""
    shop, tenant = use.shop(scope="engine-1"), use.account()
    contract = use.paid(tenant, use.offering(shop, provision_timeout_s=7_200))
    one, other = Backend(), Backend()
    workers = [
        Worker(shop.agent, one),
        Worker(use.agent(shop.owner, shop.pool.id, scope="engine-1"), one),
        Worker(use.agent(shop.owner, shop.pool.id, scope="engine-2"), other),
    ]
    return World(use, shop, tenant, contract, workers)


# Most steps are stretches of an agent's work that end by a kill, after so many of its acts.
STRETCH = ("lease", "ask", "create", "wait", "report")
DISTURBANCES = ("wait", "renew", "lost", "ask", "create", "report", "give_up", "destroy", "forget")
STEP = st.tuples(
    st.one_of(
        st.integers(1, len(STRETCH)),
        st.sampled_from([*DISTURBANCES, "wait", "wait", "cancel"]),
    ),
    st.integers(0, 2),
    st.sampled_from([0, SECOND_MS, 61 * SECOND_MS, 10 * MINUTE_MS, 17 * MINUTE_MS]),
)
STORY = st.lists(STEP, max_size=25)
Story = list[tuple[int | str, int, int]]


def happen(world: World, what: str, who: int, ms: int) -> None:
    worker = world.workers[who]
    if what == "wait":
        world.use.wait(ms)
        for one in world.workers:
            one.backend.pass_time(world.use.now_ms)
        world.use.deadlines()
        return
    acts: dict[str, Callable[[], object]] = {
        "lease": lambda: world.lease(worker),
        "renew": lambda: world.renew(worker),
        "ask": lambda: world.ask(worker),
        "lost": lambda: world.ask_and_lose_the_answer(worker),
        "create": lambda: world.create(worker, min(ms, SLOWEST_CREATE_MS)),
        "report": lambda: world.report(worker),
        "give_up": lambda: world.give_up(worker),
        "destroy": lambda: world.destroy(worker),
        "forget": lambda: world.forget(worker),
        "cancel": lambda: world.use.cancel(world.tenant, world.contract),
    }
    try:
        acts[what]()
    except DecentError as refusal:
        if refusal.kind is Kind.INTERNAL:
            raise


def converge(world: World) -> None:
    """Everybody lives long enough to do what is asked; then there is one machine, or none if none is wanted."""
    use = world.use
    for _ in range(5):
        happen(world, "wait", 0, 17 * MINUTE_MS)
        for who in range(len(world.workers)):
            for act in ("report", "lease", "ask", "create", "report", "destroy"):
                happen(world, act, who, 0)
        happen(world, "wait", 0, SECOND_MS)
    assert world.live <= 1
    contract = use.contract(world.contract)
    wanted = use.assignment(contract).desired is Desired.RUNNING
    assert world.live == (1 if wanted else 0)
    assert wanted == (contract.state is ContractState.PROVISIONED)


def play(use: Usecases, story: Story) -> None:
    world = a_world(use)
    for what, who, ms in story:
        for act in STRETCH[:what] if isinstance(what, int) else (what,):
            happen(world, act, who, ms)
            assert world.live <= 1, (act, who, ms)
    converge(world)
    assert len({id(worker.backend) for worker in world.workers if worker.backend.made}) <= 1


SLOW_CREATE_AND_AN_IMPATIENT_NEIGHBOUR: Story = [
    (3, 0, 10 * MINUTE_MS),
    ("wait", 0, 61 * SECOND_MS),
    (3, 1, 0),
]
LOST_DISK_AND_A_NEIGHBOUR: Story = [
    (3, 0, 17 * MINUTE_MS),
    ("forget", 0, 0),
    ("wait", 0, 17 * MINUTE_MS),
    (5, 2, 0),
    (5, 1, 0),
]


@pytest.mark.slow
@example(SLOW_CREATE_AND_AN_IMPATIENT_NEIGHBOUR)
@example(LOST_DISK_AND_A_NEIGHBOUR)
@settings(max_examples=80)
@given(STORY)
def test_there_are_never_two_machines_for_one_contract(story: Story) -> None:
    play(Usecases(), story)


@pytest.mark.slow
@settings(
    max_examples=6,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=STORY)
def test_the_same_holds_on_every_database(held: Held, story: Story) -> None:
    play(Usecases(held), story)

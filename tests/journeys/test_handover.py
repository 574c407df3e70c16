"""Two hosts with a Docker engine each, and a cable that is pulled in the middle of a create.

Who goes on with the work depends on whether leave to create was given: before that nothing can exist, and any agent
of the pool may take it over; after it only an agent of the same engine may, and a Docker host's work stays there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.records import Stage
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Transport
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.assignments import TakeLease
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.actors import draft
from devtools.containers import Containers
from devtools.engine import SCRATCH, EngineUnavailable
from devtools.hosts import PLATFORM, RANGE, Host, HostsUnavailable, hosts
from devtools.market import Market, Shape
from devtools.nursery import nursery
from devtools.processes import AgentProgram, until
from devtools.ssh import run_over_ssh
from tests.journeys import convergence
from tests.journeys.late import report_late, stage_of

pytestmark = [pytest.mark.journey, pytest.mark.docker]

FOLDERS = tuple(SCRATCH.with_name(f"{SCRATCH.name}-host{number}") for number in (1, 2))
_LEASE_OVER_MS = 2 * MINUTE_MS
_TAKE_OVER_MS = (
    17 * MINUTE_MS
)  # the lease, and the time in which a slow create may still come to something


@dataclass
class Scene:
    """A market whose platform and two hosts have networks of their own; an agent of one pool on each host."""

    market: Market
    one: Host
    two: Host

    @cached_property
    def first(self) -> AgentProgram:
        return self.agent(self.one, "first")

    @cached_property
    def second(self) -> AgentProgram:
        return self.agent(self.two, "second")

    def agent(self, host: Host, name: str, pool: str = "") -> AgentProgram:
        """Make an agent that lives on a host and works on its engine."""
        first_port = 22_000 + 1_000 * len(self.market.agents)
        driver: dict[str, object] = {
            "engine": host.engine.url,
            "bind": host.address,
            "first_port": first_port,
            "last_port": first_port + 999,
        }
        made = self.market.new_agent(name, pool, public_host=host.address, driver_settings=driver)
        made.network = host.network
        return made

    def made_on(self, host: Host, contract: str) -> int:
        """Return how many machines of a contract were ever started on a host."""
        with contextlib.closing(Containers([host.engine.url], self.market.began_s)) as engine:
            return engine.started(contract)

    def check_login(self, contract: str, host: Host) -> None:
        """See that the tenant's credential opens the one machine there is, on this host."""
        view = self.market.wait_state(contract, "active", timeout_s=40)
        access = self.market.tenant.open_credential(contract).access
        assert (access.host, access.host_keys) == (host.address, view.host_keys)
        said = run_over_ssh(access, "hostname", self.market.tenant.ssh.private)
        assert said.strip() == f"dc-{contract}"
        assert (self.market.made(contract), self.market.running(contract)) == (1, 1)
        assert self.made_on(host, contract) == 1


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    nursery()  # begun in the network that all other tests are in
    with contextlib.ExitStack() as running:
        try:
            network, (one, two) = running.enter_context(hosts(FOLDERS))
        except (HostsUnavailable, EngineUnavailable) as why:
            pytest.skip(str(why))
        shape = Shape(
            driver="docker",
            address=PLATFORM,
            network=network,
            engines=(one.engine.url, two.engine.url),
            server_settings={"listen_anywhere": True, "outbound_ranges": (RANGE,)},
        )
        folder = Path(tmp_path_factory.mktemp("hand-over"))
        market = running.enter_context(Market(folder, shape))
        yield Scene(market, one, two)


@pytest.fixture
def scene(laid_out: Scene) -> Iterator[Scene]:
    """Give the scene with its cables in place and nobody at work."""
    yield laid_out
    for host in (laid_out.one, laid_out.two):
        host.mend()
    for agent in laid_out.market.agents:
        agent.kill()


def test_before_leave_to_create_the_work_goes_to_the_other_engine(scene: Scene) -> None:
    market, one, first = scene.market, scene.one, scene.first
    contract = _frozen(scene, steps.START_ASKED)
    one.cut()
    first.thaw()
    _begin(scene.second)
    market.pass_time(_LEASE_OVER_MS)
    scene.check_login(contract, scene.two)

    one.mend()
    until("it knows", lambda: stage_of(market, first, contract) is Stage.SEEN, 40)
    _check_refused(scene, contract)
    assert scene.made_on(one, contract) == 0
    scene.check_login(contract, scene.two)
    convergence.ended(market, contract)
    assert first.running


@pytest.mark.parametrize("away_ms", [0, _TAKE_OVER_MS], ids=["lease alive", "lease over"])
def test_after_leave_to_create_the_work_stays_with_its_engine(scene: Scene, away_ms: int) -> None:
    """The machine is made while nobody hears of it; the other engine's agent does not take the work over."""
    market, one, second = scene.market, scene.one, scene.second
    contract = _frozen(scene, steps.CREATE_CALLED)
    one.cut()
    scene.first.thaw()
    until("the machine runs", lambda: market.running(contract) == 1, 40)
    _begin(second)
    if away_ms:
        market.pass_time(away_ms)
    _looks_again(second)
    waiting = market.tenant.contract(contract)
    assert (waiting.state, waiting.agent_connected) == ("provisioning", not away_ms)
    assert scene.made_on(scene.two, contract) == 0

    one.mend()
    scene.check_login(contract, one)
    until("it shows", lambda: market.tenant.contract(contract).agent_connected)
    convergence.ended(market, contract)


def test_a_machine_that_nobody_heard_of_in_time_is_paid_back_and_removed(scene: Scene) -> None:
    market, one = scene.market, scene.one
    contract = _frozen(scene, steps.CREATE_CALLED)
    one.cut()
    scene.first.thaw()
    until("the machine runs", lambda: market.running(contract) == 1, 40)
    market.pass_time(_TAKE_OVER_MS)
    market.pass_time(15 * MINUTE_MS)
    market.wait_state(contract, "failed")
    market.wait_refunded(contract)
    assert market.running(contract) == 1

    one.mend()
    view = convergence.gone(market, market.tenant, contract, 60)
    assert view.state == "failed"
    assert market.paid_back_minor(contract) == (36, 36)
    assert market.made(contract) == 1


def test_of_two_agents_of_one_engine_the_slower_is_refused(scene: Scene) -> None:
    """Its create comes to something after the other's: to the other's machine, which it leaves alone."""
    market, one, first = scene.market, scene.one, scene.first
    beside = scene.agent(one, "beside")
    contract = _frozen(scene, steps.CREATE_CALLED)
    _begin(beside)
    market.pass_time(_TAKE_OVER_MS)
    scene.check_login(contract, one)

    port = int(market.url.rpartition(":")[2])
    one.hide(port)
    first.thaw()
    until("its create is answered", lambda: steps.CREATE_ANSWERED in first.steps(), 40)
    one.show(port)
    until("it knows", lambda: stage_of(market, first, contract) is Stage.QUARANTINED, 60)
    _check_refused(scene, contract)
    scene.check_login(contract, one)
    convergence.ended(market, contract)
    assert first.running


def test_a_pool_that_is_cut_off_holds_up_no_other(scene: Scene) -> None:
    market, one = scene.market, scene.one
    pool = market.provider.new_pool("docker")
    other = scene.agent(scene.two, "other", pool)
    contract = _frozen(scene, steps.CREATE_CALLED)
    one.cut()
    scene.first.thaw()
    _begin(other)
    market.pass_time(_TAKE_OVER_MS)
    mine = market.tenant.rent(_offering(market, pool)).id
    scene.check_login(mine, scene.two)
    assert _refusal(market, other, contract) == ("not_found", 404)

    one.mend()
    scene.check_login(contract, one)
    for each in (contract, mine):
        convergence.ended(market, each)


def _frozen(scene: Scene, step: str) -> str:
    """Rent, and freeze the first agent at this step of the work."""
    scene.first.start(freeze_at=step)
    offering = _offering(scene.market)
    contract = scene.market.tenant.rent(offering).id
    scene.first.wait_frozen(60)
    return contract


def _offering(market: Market, pool: str = "") -> OfferingView:
    made = market.provider.list_offering(draft(pool=pool or market.provider.pool))

    def look() -> OfferingView | None:
        view = market.provider.api.get(f"/offerings/{made.id}", OfferingView)
        return view if view.rentable else None

    return until("the offering can be rented", look, 60)


def _begin(agent: AgentProgram) -> None:
    """Start an agent, and wait until it knows what there is to do."""
    before = agent.steps().count(steps.DESIRED_JOURNALLED)
    agent.start()
    until(
        f"{agent.name} looks",
        lambda: agent.steps().count(steps.DESIRED_JOURNALLED) > before,
        60,
    )


def _looks_again(agent: AgentProgram) -> None:
    """Wait until an agent has looked twice more at what there is to do, and see that it asks for none of it."""
    asked = agent.steps().count(steps.LEASE_ASKED)
    before = agent.steps().count(steps.DESIRED_JOURNALLED)
    until("it looks", lambda: agent.steps().count(steps.DESIRED_JOURNALLED) > before + 2, 60)
    assert agent.steps().count(steps.LEASE_ASKED) == asked


def _check_refused(scene: Scene, contract: str) -> None:
    """See that a success which the first agent tells under its old lease changes nothing."""
    market = scene.market
    before = market.tenant.contract(contract).host_keys
    with pytest.raises(ApiProblem) as refused:
        report_late(market, scene.first, contract)
    assert (refused.value.code, refused.value.status) == ("lease_lost", 409)
    assert market.tenant.contract(contract).host_keys == before


def _refusal(market: Market, agent: AgentProgram, contract: str) -> tuple[str, int]:
    """Ask for work as an agent that it is none of the business of."""
    auth = DeviceAuth(market.provider.id, load_keys(agent.settings.key_file), market.clock)
    with Transport(market.url, auth) as transport, pytest.raises(ApiProblem) as refused:
        AgentApi(transport).take_lease(ContractId(contract), TakeLease(scope="docker-any"))
    return refused.value.code, refused.value.status

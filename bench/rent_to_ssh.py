"""How soon a tenant is on a rented container, and what the agent adds to making one by hand."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.bare_docker import BareDocker, wait_for_banner
from bench.figures import Figure, at_most, ratio_at_most
from decent_cloud.agent import steps
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.engine import engine
from devtools.market import Market, Shape
from devtools.processes import AgentProgram
from devtools.ssh import run_over_ssh

RENTALS = 5
PAIRS = 30
BOUND_S = 5.0
BOUND_RATIO = 1.3
FIRST_PORT = 24_000


def run() -> list[Figure]:
    """Rent five containers to the first command's output, then thirty beside thirty made by hand."""
    with engine() as docker, tempfile.TemporaryDirectory(prefix="dc-bench-") as folder:
        settings = {"engine": docker.url, "first_port": FIRST_PORT, "last_port": FIRST_PORT + 500}
        shape = Shape(driver="docker", driver_settings=settings)
        with Market(Path(folder), shape) as market:
            agent = market.new_agent()
            agent.start()
            offering = market.offering(cpu_milli=1_000, memory_mib=128)
            _rent_to_ssh_s(market, offering)  # warm
            slowest = max(_rent_to_ssh_s(market, offering) for _ in range(RENTALS))
            ours, bare = _pairs(market, agent, offering, docker.url)
    by_hand = ("the SDK's create, start, banner", statistics.median(bare))
    return [
        at_most("rent_to_ssh_docker_s", slowest, "s", BOUND_S),
        ratio_at_most("docker_overhead_ratio", statistics.median(ours), "s", by_hand, BOUND_RATIO),
    ]


def _rent_to_ssh_s(market: Market, offering: OfferingView) -> float:
    """Return the time from placing an order to the output of a command run over SSH."""
    began = time.monotonic()
    contract = market.tenant.rent(offering).id
    market.wait_state(contract, "active")
    access = market.tenant.open_credential(contract).access
    said = run_over_ssh(access, "id -un", market.tenant.ssh.private)
    took_s = time.monotonic() - began
    if said.strip() != "root":
        raise AssertionError(f"the machine said {said!r}")
    _end(market, contract)
    return took_s


def _end(market: Market, contract: str) -> None:
    market.tenant.cancel(contract)
    market.wait_gone(contract)
    market.wait_refunded(contract)


def _pairs(
    market: Market, agent: AgentProgram, offering: OfferingView, url: str
) -> tuple[list[float], list[float]]:
    """Alternate between a rental and a container made by hand with the same create call."""
    ours: list[float] = []
    bare: list[float] = []
    pattern = market.tenant.rent(offering).id
    market.wait_state(pattern, "active")
    with BareDocker(url, f"dc-{pattern}", FIRST_PORT + 600) as hand:
        _end(market, pattern)
        hand.create_start_banner_s()  # warm
        for _ in range(PAIRS):
            ours.append(_agent_path_s(market, agent, offering))
            bare.append(hand.create_start_banner_s())
    return ours, bare


def _agent_path_s(market: Market, agent: AgentProgram, offering: OfferingView) -> float:
    """Return the time from the agent's leave to create, to the machine's SSH banner."""
    before = agent.steps().count(steps.CREATE_ANSWERED)
    contract = market.tenant.rent(offering).id
    # Not sooner: a connection to a machine that has no network yet hangs for a second.
    _until_created(agent, before)
    wait_for_banner("127.0.0.1", _port(market, agent, contract))
    at_ms = time.time_ns() / 1_000_000
    allowed = [each for each in agent.moments() if each.step == steps.START_JOURNALLED]
    took_s = (at_ms - allowed[-1].at_ms) / 1_000
    market.wait_state(contract, "active")
    _end(market, contract)
    return took_s


def _until_created(agent: AgentProgram, before: int) -> None:
    end = time.monotonic() + 30
    while agent.steps().count(steps.CREATE_ANSWERED) == before:
        if time.monotonic() > end:
            raise AssertionError(f"no machine was made:\n{agent.tail()}")
        time.sleep(0.002)


def _port(market: Market, agent: AgentProgram, contract: str) -> int:
    with closing(market.journal(agent)) as journal:
        ports = journal.ports()
    return next(port for port, holder in ports.items() if holder == contract)

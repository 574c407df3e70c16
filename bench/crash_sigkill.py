"""The cells of the crash matrix in which programs die by SIGKILL: agent and server, under the fake driver and Docker."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.crash_cells import PATIENCE_S, SERVER_DIES, Blow, Outcome, Place
from bench.crash_lanes import TriedEngine
from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import Market, Shape
from devtools.processes import AgentProgram, until

TIME_UP = "not run: the time was up"
AGENT = "agent"
BLOWS = (Blow.KILL_AGENT, Blow.KILL_SERVER)

Tell = Callable[[Outcome], None]


def sigkill_fake(places: tuple[Place, ...], deadline: float, tell: Tell) -> None:
    """Kill agent and server at every step on the fake cloud, which knows no unique names."""
    with (
        tempfile.TemporaryDirectory(prefix="dc-crash-") as folder,
        Market(Path(folder)) as market,
    ):
        market.cloud.change(unique_names=False)
        Deaths(market, "fake").cells(places, deadline, tell)


def sigkill_docker(
    engine: TriedEngine, places: tuple[Place, ...], deadline: float, tell: Tell
) -> None:
    """Kill agent and server at every step on a real Docker engine."""
    shape = Shape(driver="docker", driver_settings={"engine": engine.url})
    with (
        tempfile.TemporaryDirectory(prefix="dc-crash-") as folder,
        Market(Path(folder), shape) as market,
    ):
        (Path(folder) / f"{AGENT}.probed").write_bytes(codec.to_json(engine.probe))
        Deaths(market, "docker").cells(places, deadline, tell)


class Deaths:
    """One agent on a market, killed and frozen at will."""

    def __init__(self, market: Market, name: str) -> None:
        self._market = market
        self._name = name
        self._agent: AgentProgram = market.new_agent(AGENT)
        self._agent.start()
        self._offering: OfferingView = market.offering(stock=1_000)
        self._agent.kill()

    def cells(self, places: tuple[Place, ...], deadline: float, tell: Tell) -> None:
        """Run the cells until the deadline, those that are owed first."""
        every = [(place, blow) for blow in BLOWS for place in places]
        for place, blow in sorted(every, key=lambda cell: not owed(*cell)):
            if time.monotonic() > deadline:
                tell(Outcome(self._name, place, blow, False, TIME_UP, owed=owed(place, blow)))
            else:
                tell(self._cell(place, blow))

    def _cell(self, place: Place, blow: Blow) -> Outcome:
        market = self._market
        contract = market.tenant.rent(self._offering).id
        reason = ""
        try:
            took_s = self._killed(contract, place, blow)
        except Exception as error:
            took_s, reason = PATIENCE_S, f"{type(error).__name__}: {error}".splitlines()[0][:160]
            print(f"  the agent of {self._name} said:\n{self._agent.tail()}", flush=True)
        made, left = until(
            "the backend can be counted", lambda: self._counted(contract), PATIENCE_S
        )
        self._recover()
        duplicates = max(0, made - 1)
        return Outcome(
            self._name, place, blow, True, reason, duplicates, left, took_s, owed(place, blow)
        )

    def _counted(self, contract: str) -> tuple[int, int] | None:
        """Count what was ever made for a contract and what is left; None while the fake's file is busy."""
        market = self._market
        try:
            made, left = market.made(contract), market.alive(contract)
        except sqlite3.OperationalError:
            return None
        return made, left if market.on_fakes else left + len(market.containers.networks(contract))

    def _killed(self, contract: str, place: Place, blow: Blow) -> float:
        """Let the contract live and die with one blow; return the seconds from the blow to what the path is for."""
        second = "#2" if place.path == "destroy" and place.step in steps.CREATE_PATH else ""
        at = place.step + second
        kills = blow is Blow.KILL_AGENT
        self._agent.start(kill_at=at if kills else "", freeze_at="" if kills else at)
        if place.path == "destroy":
            self._market.wait_state(contract, "active", timeout_s=PATIENCE_S)
            self._market.tenant.cancel(contract)
        if kills:
            self._agent.wait_killed()
            began = time.monotonic()
            self._agent.start()
        else:
            self._agent.wait_frozen()
            self._market.server.kill()
            began = time.monotonic()
            self._market.server.start()
            self._agent.thaw()
        took_s = 0.0
        if place.path == "create":
            self._market.wait_state(contract, "active", timeout_s=PATIENCE_S)
            took_s = time.monotonic() - began
            self._market.tenant.cancel(contract)
        self._market.wait_gone(contract, PATIENCE_S)
        took_s = took_s or time.monotonic() - began
        until("the agent has nothing left of it", lambda: self._ended(contract), PATIENCE_S)
        return took_s

    def _ended(self, contract: str) -> bool:
        with closing(self._market.journal(self._agent)) as journal:
            found = journal.instance(ContractId(contract))
            left = [each for each in journal.reports() if each.contract == contract]
            return found is not None and found.stage is Stage.ENDED and not left

    def _recover(self) -> None:
        """Let the next cell begin with the server up and the agent down."""
        self._agent.kill()
        if not self._market.server.running:
            self._market.server.start()


def owed(place: Place, blow: Blow) -> bool:
    """Tell which deaths must be tried: the agent's at every step, the server's where the other lanes have it too."""
    return blow is Blow.KILL_AGENT or place in SERVER_DIES

"""The cells of the crash matrix in which programs die by SIGKILL: agent and server, under the fake driver and Docker."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.crash_cells import PATIENCE_S, Blow, Outcome, Place
from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.engine import EngineBusy, EngineUnavailable, engine
from devtools.market import Market, Shape
from devtools.processes import AgentProgram, until

ENGINE_WAIT_S = 60
TIME_UP = "not run: the time was up"
ELSEWHERE = "tried inside one process, by the rows of the fake driver and the clouds"
BLOWS = (Blow.KILL_AGENT, Blow.KILL_SERVER)


def sigkill_fake(places: tuple[Place, ...], deadline: float) -> list[Outcome]:
    """Kill agent and server at every step on the fake cloud, which knows no unique names."""
    with (
        tempfile.TemporaryDirectory(prefix="dc-crash-") as folder,
        Market(Path(folder)) as market,
    ):
        market.cloud.change(unique_names=False)
        return Deaths(market, "fake, SIGKILL").cells(places, deadline)


def sigkill_docker(places: tuple[Place, ...], deadline: float) -> list[Outcome]:
    """Kill agent and server at every step on a real Docker engine, where one can be had."""
    name = "docker, SIGKILL"
    try:
        with (
            engine(wait_s=ENGINE_WAIT_S) as docker,
            tempfile.TemporaryDirectory(prefix="dc-crash-") as folder,
            Market(
                Path(folder), Shape(driver="docker", driver_settings={"engine": docker.url})
            ) as market,
        ):
            return Deaths(market, name).cells(places, deadline)
    except (EngineUnavailable, EngineBusy) as error:
        reason = f"not run: {str(error).splitlines()[0]}"
        return [Outcome(name, place, blow, False, reason) for place in places for blow in Blow]


class Deaths:
    """One agent on a market, killed and frozen at will."""

    def __init__(self, market: Market, name: str) -> None:
        self._market = market
        self._name = name
        self._agent: AgentProgram = market.new_agent()
        self._agent.start()
        self._offering: OfferingView = market.offering(stock=1_000)
        self._agent.kill()

    def cells(self, places: tuple[Place, ...], deadline: float) -> list[Outcome]:
        """Run the cells until the deadline; those of one step stand side by side."""
        outcomes = []
        for place in places:
            for blow in Blow:
                reason = "" if blow in BLOWS else ELSEWHERE
                if not reason and time.monotonic() > deadline:
                    reason = TIME_UP
                cell = Outcome(self._name, place, blow, False, reason)
                outcomes.append(cell if reason else self._cell(place, blow))
        return outcomes

    def _cell(self, place: Place, blow: Blow) -> Outcome:
        market = self._market
        contract = market.tenant.rent(self._offering).id
        reason = ""
        try:
            took_s = self._killed(contract, place, blow)
        except Exception as error:
            took_s, reason = PATIENCE_S, f"{type(error).__name__}: {error}".splitlines()[0][:160]
        made, left = market.made(contract), market.alive(contract)
        if not market.on_fakes:
            left += len(market.containers.networks(contract))
        self._recover()
        return Outcome(self._name, place, blow, True, reason, max(0, made - 1), left, took_s)

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
        until("the agent has nothing left", self._idle, PATIENCE_S)
        return took_s

    def _idle(self) -> bool:
        with closing(self._market.journal(self._agent)) as journal:
            stages = {each.stage for each in journal.instances()}
            return not journal.reports() and stages == {Stage.ENDED}

    def _recover(self) -> None:
        """Let the next cell begin with the server up and the agent down."""
        self._agent.kill()
        if not self._market.server.running:
            self._market.server.start()

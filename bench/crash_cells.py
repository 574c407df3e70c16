"""One cell of the crash matrix inside this process: an agent, a step, what goes wrong there, and what came of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import httpx

from decent_cloud.agent import steps
from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.records import Stage
from decent_cloud.client.transport import fresh_key
from decent_cloud.drivers.conformance.rig import Act
from decent_cloud.drivers.conformance.rig import Fault as Spoiled
from decent_cloud.drivers.contract import Driver
from tests.agent.rig import QUICK, Rig, eventually, running
from tests.support.market import rent, until
from tests.support.people import Person

PATIENCE_S = 45.0


class Blow(StrEnum):
    """What happens at a step; the columns of the matrix."""

    KILL_AGENT = "kill agent"
    KILL_SERVER = "kill server"
    TIMEOUT = "timeout"
    LOST = "answer lost"
    RATE_LIMITED = "429"
    ERROR = "500"
    DOUBLED = "doubled report"


SPOILED = {
    Blow.TIMEOUT: Spoiled.TIMEOUT,
    Blow.LOST: Spoiled.LOST,
    Blow.RATE_LIMITED: Spoiled.RATE_LIMITED,
    Blow.ERROR: Spoiled.UNAVAILABLE,
}
# The steps after which a call goes out at once: to the backend, or to the platform.
BACKEND_CALLS = {
    steps.LOOKUP_ASKED: Act.LIST,
    steps.CREATE_CALLED: Act.CREATE,
    steps.INSPECT_CALLED: Act.INSPECT,
    steps.DESTROY_CALLED: Act.DESTROY,
}
PLATFORM_CALLS = {
    steps.DESIRED_ASKED: r"GET .*/desired",
    steps.LEASE_ASKED: r"POST .*/lease$",
    steps.START_ASKED: r"POST .*/create-started$",
    steps.REPORT_SENT: r"PUT .*/provisioning$",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A step on one of the two paths; a row of the matrix within a driver."""

    path: str  # "create" or "destroy"
    step: str


PLACES = (
    *(Place("create", each) for each in steps.CREATE_PATH),
    *(Place("destroy", each) for each in steps.DESTROY_PATH),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell; `reason` says why it is n/a or how it failed, and is empty where it holds."""

    driver: str
    place: Place
    blow: Blow
    ran: bool
    reason: str = ""
    duplicates: int = 0
    orphans: int = 0
    converged_s: float = 0.0


class Lane(Protocol):
    """A driver with its backend, as cells need it."""

    name: str

    def driver(self, platform: str) -> Driver:
        """Return a driver for the platform, closed by the agent that gets it."""

    def why_not(self, act: Act, fault: Spoiled) -> str:
        """Say why a fault cannot be had at a call, empty where it can."""

    def inject(self, act: Act, fault: Spoiled) -> None:
        """Let the next such call go wrong."""

    def count(self, contract: str) -> int:
        """Count a contract's machines."""

    def left(self, contract: str) -> int:
        """Count what is left of a contract, pieces included."""


class Dead(SystemExit):
    """Ends a thread where a killed process would have ended, without a word."""


class Wire(httpx.BaseTransport):
    """The agent's connections to the platform; the next call that matches goes wrong as told."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._next: tuple[str, Blow] | None = None

    def spoil(self, pattern: str, blow: Blow) -> None:
        self._next = (pattern, blow)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        blow = self._taken(f"{request.method} {request.url.path}")
        if blow is Blow.TIMEOUT:
            raise httpx.ReadTimeout("spoiled", request=request)
        if blow is Blow.RATE_LIMITED:
            return httpx.Response(429, headers={"Retry-After": "1"}, request=request)
        if blow is Blow.ERROR:
            return httpx.Response(500, request=request)
        answer = self._inner.handle_request(request)
        if blow is Blow.LOST:
            answer.close()
            raise httpx.ReadError("spoiled", request=request)
        return answer

    def close(self) -> None:
        self._inner.close()

    def _taken(self, call: str) -> Blow | None:
        with self._lock:
            if self._next is None or not re.search(self._next[0], call):
                return None
            _, blow = self._next
            self._next = None
            return blow


class Trap:
    """The step hook of a cell: strikes once, when the step comes and it is set."""

    def __init__(self, lane: Lane, place: Place, blow: Blow) -> None:
        self.set = threading.Event()
        self.struck = threading.Event()
        self.doubled = threading.Event()
        self.wire: Wire | None = None
        self._lane = lane
        self._place = place
        self._blow = blow

    def __call__(self, step: str) -> None:
        first = step == self._place.step and self.set.is_set() and not self.struck.is_set()
        if first:
            self.struck.set()
            self._strike(step)
        if self._blow is Blow.KILL_AGENT and self.struck.is_set():
            raise Dead

    def _strike(self, step: str) -> None:
        if self._blow in SPOILED and step in BACKEND_CALLS:
            self._lane.inject(BACKEND_CALLS[step], SPOILED[self._blow])
        elif self._blow in SPOILED:
            assert self.wire is not None
            self.wire.spoil(PLATFORM_CALLS[step], self._blow)
        elif self._blow is Blow.DOUBLED:
            self.doubled.set()


class MatrixRig(Rig):
    """A provider's machine whose agent drives a lane's backend over a wire that can be spoiled."""

    lane: Lane

    def build(self, on_step: steps.OnStep = steps.no_hook) -> Agent:
        journal = self.journal()
        driver = self.lane.driver(journal.fact(PLATFORM_ID))
        agent = Agent(
            self.settings(), Parts(self.keys, journal, driver, self.clock, on_step, QUICK)
        )
        client = agent._transport._http
        wire = Wire(client._transport)
        client._transport = wire
        if isinstance(on_step, Trap):
            on_step.wire = wire
            _double(agent.work.api, on_step)
        return agent


def _double(api: Any, trap: Trap) -> None:
    """Let reports be sent a second time, as new requests, while the trap says so."""
    once = api.report

    def report(contract: Any, body: Any, key: str) -> Any:
        answer = once(contract, body, key)
        if trap.doubled.is_set():
            trap.doubled.clear()
            return once(contract, body, fresh_key())
        return answer

    api.report = report


def why_not(lane: Lane, place: Place, blow: Blow) -> str:
    """Say why there is no such cell, empty where there is."""
    if blow is Blow.KILL_AGENT:
        return ""
    if blow is Blow.KILL_SERVER:
        return "killed for real under fake and Docker; in one process there is no server to kill"
    if blow is Blow.DOUBLED:
        return "" if place.step == steps.REPORT_SENT else "no report is sent here"
    if place.step in PLATFORM_CALLS:
        return ""
    act = BACKEND_CALLS.get(place.step)
    return lane.why_not(act, SPOILED[blow]) if act else "no call goes out here"


@dataclass(slots=True)
class Bench:
    """A lane with its agent's machine, a tenant and an offering."""

    lane: Lane
    rig: MatrixRig
    tenant: Person
    offering: dict[str, Any]

    def cell(self, place: Place, blow: Blow) -> Outcome:
        """Run one cell and count."""
        contract = str(rent(self.tenant, self.offering)["id"])
        most = Most(self.lane, contract)
        try:
            until(self.tenant, contract, "accepted", "provisioning", timeout_s=PATIENCE_S)
            took_s = self._run(contract, place, blow, most)
            reason = ""
        except Exception as error:
            took_s, reason = PATIENCE_S, f"{type(error).__name__}: {error}"[:160]
        duplicates = max(0, most.seen - 1)
        left = self.lane.left(contract)
        return Outcome(self.lane.name, place, blow, True, reason, duplicates, left, took_s)

    def _run(self, contract: str, place: Place, blow: Blow, most: Most) -> float:
        trap = Trap(self.lane, place, blow)
        if place.path == "create":
            trap.set.set()
        with running(self.rig, trap) as agent:
            if place.path == "destroy":
                self._until_handed_over(contract, most)
                trap.set.set()
                self._cancel(contract)
            eventually(trap.struck.is_set, PATIENCE_S)
            began = time.monotonic()
            if blow is not Blow.KILL_AGENT:
                return self._finish(contract, place, began, most)
            agent.actor.draining.set()
        began = time.monotonic()
        with running(self.rig):
            return self._finish(contract, place, began, most)

    def _finish(self, contract: str, place: Place, began: float, most: Most) -> float:
        """Wait for what the path is for, note the time, and end the contract."""
        took_s = 0.0
        if place.path == "create":
            self._until_handed_over(contract, most)
            took_s = time.monotonic() - began
            self._cancel(contract)
        most.watch(lambda: self.rig.stage(contract) is Stage.ENDED and not self._reports())
        return took_s or time.monotonic() - began

    def _until_handed_over(self, contract: str, most: Most) -> None:
        most.watch(lambda: self.rig.stage(contract) is Stage.BOUND and not self._reports())
        until(self.tenant, contract, "active", timeout_s=PATIENCE_S)

    def _cancel(self, contract: str) -> None:
        assert self.tenant.api.post(f"/contracts/{contract}/cancel", {"reason": ""}).is_success

    def _reports(self) -> bool:
        assert self.rig.agent is not None
        return any(not each.refused for each in self.rig.agent.work.journal.reports())


class Most:
    """The most machines of a contract that were ever seen at once."""

    def __init__(self, lane: Lane, contract: str) -> None:
        self.seen = 0
        self._lane = lane
        self._contract = contract

    def watch(self, done: Callable[[], bool]) -> None:
        """Count until something is true."""

        def look() -> bool:
            self.seen = max(self.seen, self._lane.count(self._contract))
            return done()

        eventually(look, PATIENCE_S)

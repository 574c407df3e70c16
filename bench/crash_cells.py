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
from tests.agent.rig import QUICK, Rig, eventually
from tests.support.market import rent, until
from tests.support.people import Person

PATIENCE_S = 90.0
NOT_CHOSEN = (
    "not chosen: killed under fake and Docker at this step, and under this driver at others"
)


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


# Where the server is killed under all lanes at once: something of the agent's is with it, or about to be.
SERVER_DIES = frozenset(
    {
        Place("create", steps.DESIRED_ASKED),
        Place("create", steps.LEASE_ANSWERED),
        Place("create", steps.START_ASKED),
        Place("create", steps.CREATE_CALLED),
        Place("create", steps.CREATE_ANSWERED),
        Place("create", steps.REPORT_SENT),
        Place("create", steps.REPORT_ANSWERED),
        Place("destroy", steps.DESTROY_JOURNALLED),
        Place("destroy", steps.DESTROY_CALLED),
        Place("destroy", steps.REPORT_SENT),
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell; `reason` says why it is n/a or how it failed, and is empty where it holds.

    One that is `owed` must run; of the others a slow machine may leave some out.
    """

    driver: str
    place: Place
    blow: Blow
    ran: bool
    reason: str = ""
    duplicates: int = 0
    orphans: int = 0
    converged_s: float = 0.0
    owed: bool = False


class Lane(Protocol):
    """A driver with its backend, as cells need it; with `real_deaths` its programs die elsewhere, by SIGKILL."""

    name: str
    real_deaths: bool

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
        self.resumed = threading.Event()
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
        if self._blow is Blow.KILL_SERVER:
            self.resumed.wait(2 * PATIENCE_S)
        elif self._blow in SPOILED and step in BACKEND_CALLS:
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
        return "" if place in SERVER_DIES else NOT_CHOSEN
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
        cell = Cell(self, place, blow)
        cell.attempt(cell.bring)
        cell.attempt(cell.recover)
        return cell.outcome()


class Cell:
    """One rental on its way through one blow: brought to it, recovered from it, counted."""

    def __init__(self, bench: Bench, place: Place, blow: Blow) -> None:
        self.place = place
        self.blow = blow
        self._bench = bench
        self._lane = bench.lane
        self._rig = bench.rig
        self._contract = ""
        self._trap = Trap(bench.lane, place, blow)
        self._most = 0
        self._took_s = 0.0
        self._reason = ""

    def attempt(self, part: Callable[[], None]) -> None:
        """Do a part unless an earlier one failed; how it failed is the outcome's reason."""
        if self._reason:
            return
        try:
            part()
        except Exception as error:
            self._took_s = PATIENCE_S
            self._reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]

    def bring(self) -> None:
        """Rent, and let the agent work until the blow has struck."""
        self._contract = str(rent(self._bench.tenant, self._bench.offering)["id"])
        self._until("accepted", "provisioning")
        if self.place.path == "create":
            self._trap.set.set()
        self._rig.start(self._trap)
        if self.place.path == "destroy":
            self._until_handed_over()
            self._trap.set.set()
            self._cancel()
        eventually(self._trap.struck.is_set, PATIENCE_S)

    def recover(self) -> None:
        """Let what was hit come back, wait for what the path is for, note the time, and end the contract."""
        if self.blow is Blow.KILL_AGENT:
            assert self._rig.agent is not None
            self._rig.agent.actor.draining.set()
            self._rig.stop()
        began = time.monotonic()
        if self.blow is Blow.KILL_AGENT:
            self._rig.start()
        self._trap.resumed.set()
        if self.place.path == "create":
            self._until_handed_over()
            self._took_s = time.monotonic() - began
            self._cancel()
        self._watch(lambda: self._stage() is Stage.ENDED and not self._reports())
        self._took_s = self._took_s or time.monotonic() - began

    def outcome(self) -> Outcome:
        """Stop the agent and count what was there at once and what is left."""
        self._trap.resumed.set()
        left = 0

        def count() -> None:
            nonlocal left
            left = self._lane.left(self._contract) if self._contract else 0

        failed, self._reason = self._reason, ""
        self.attempt(self._rig.stop)
        self.attempt(count)
        return Outcome(
            self._lane.name,
            self.place,
            self.blow,
            True,
            failed or self._reason,
            max(0, self._most - 1),
            left,
            self._took_s,
            owed=True,
        )

    def _until_handed_over(self) -> None:
        self._watch(
            lambda: self._stage() is Stage.BOUND and not self._reports(),
            never=(Stage.FAILED, Stage.ENDED),
        )
        self._until("active")

    def _until(self, *states: str) -> None:
        until(self._bench.tenant, self._contract, *states, timeout_s=PATIENCE_S)

    def _watch(self, done: Callable[[], bool], never: tuple[Stage, ...] = ()) -> None:
        """Count the contract's machines until something is true; after a stage of `never` it cannot be."""

        def look() -> bool:
            self._most = max(self._most, self._lane.count(self._contract))
            if self._stage() in never:
                found = self._rig.instance(self._contract)
                raise AssertionError(f"the agent gave up: {found.note if found else ''}")
            return done()

        eventually(look, PATIENCE_S)

    def _stage(self) -> Stage | None:
        return self._rig.stage(self._contract)

    def _cancel(self) -> None:
        path = f"/contracts/{self._contract}/cancel"
        assert self._bench.tenant.api.post(path, {"reason": ""}).is_success

    def _reports(self) -> bool:
        assert self._rig.agent is not None
        return any(not each.refused for each in self._rig.agent.work.journal.reports())

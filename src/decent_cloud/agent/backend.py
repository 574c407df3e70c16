"""The driver as the agent uses it: its fingerprint, and what the last reads of it said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from decent_cloud.agent import steps
from decent_cloud.agent.journal import SCOPE, Journal
from decent_cloud.agent.records import Alarm, Instance
from decent_cloud.agent.situation import Sight
from decent_cloud.drivers.contract import (
    Broken,
    CanMeter,
    CanResetPassword,
    CanRunFirst,
    CanStop,
    CanTryPassword,
    Driver,
    DriverError,
    FirstRun,
    Handle,
    InstanceSpec,
    Observation,
    Rejected,
    RunState,
    Secret,
    Traffic,
)
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

_log = structlog.get_logger("dc-agent")

T = TypeVar("T")

ALARM_BACKEND = "backend_unusable"
ALARM_SCOPE = "backend_changed"


class Backend:
    """Calls the driver, names each call to the step hook, and keeps what was seen per contract.

    What a driver raises beyond its five errors becomes Broken: outcome unknown, like TryLater.
    """

    def __init__(
        self, driver: Driver, journal: Journal, clock: Clock, on_step: steps.OnStep
    ) -> None:
        self.driver = driver
        self.description = driver.describe()
        self.can_stop = isinstance(driver, CanStop)
        self.can_meter = isinstance(driver, CanMeter)
        self.scope = ""
        self.changed = False  # since the journal was begun: older machines are elsewhere
        self._journal = journal
        self._clock = clock
        self._on_step = on_step
        self._lock = threading.Lock()
        self._sights: dict[ContractId, Sight] = {}
        self._asides: dict[str, Observed] = {}

    def now_ms(self) -> int:
        """Return the agent's time."""
        return self._clock.now_ms()

    def try_out(self) -> bool:
        """Probe the backend and learn its fingerprint; False (and an alarm) if it cannot be used."""
        probe = self.driver.probe()
        now_ms = self._clock.now_ms()
        if not probe.scope or not probe.passed:
            failed = "; ".join(c.detail for c in probe.checks if not c.passed) or "no fingerprint"
            self._journal.raise_alarm(Alarm(ALARM_BACKEND, failed[:400], now_ms))
            return False
        self._journal.clear_alarm(ALARM_BACKEND)
        self._learn(probe.scope, now_ms)
        return True

    def _learn(self, scope: str, now_ms: int) -> None:
        known = self._journal.fact(SCOPE)
        if known and known != scope:
            text = f"the backend is another one now ({scope}, was {known}); older instances are not touched"
            self._journal.raise_alarm(Alarm(ALARM_SCOPE, text, now_ms))
            self.changed = True
        if known != scope:
            self._journal.set_facts({SCOPE: scope})
        self.scope = scope

    def sight(self, contract: ContractId) -> Sight:
        """Return what the last read said about a contract's machine."""
        with self._lock:
            return self._sights.get(contract, Sight())

    def forget(self, contract: ContractId) -> None:
        """Drop what was seen of an ended contract."""
        with self._lock:
            self._sights.pop(contract, None)

    def look_up(self, contract: ContractId) -> tuple[Observation, ...]:
        """Find the contract's machines by tag, oldest first; those being deleted are included."""
        self._on_step(steps.LOOKUP_ASKED)
        found = self.guarded(lambda: self.driver.list_owned(contract))
        self._on_step(steps.LOOKUP_ANSWERED)
        return tuple(sorted(found, key=lambda each: each.created_at_ms))

    def survey(self, instances: Iterable[Instance]) -> dict[ContractId, tuple[Observation, ...]]:
        """List everything of ours on the backend once; raises as the driver, and then all is unknown.

        A journalled machine that the list does not show is read by itself: a list may lag.
        """
        with self._lock:
            self._sights.clear()
        groups: dict[ContractId, list[Observation]] = {}
        for each in self.guarded(lambda: self.driver.list_owned(None)):
            groups.setdefault(each.contract, []).append(each)
        held = {each.contract: each for each in instances}
        for contract, group in groups.items():
            handle = held[contract].handle if contract in held else None
            mine = [each for each in group if handle and same(each.handle, handle)]
            self.note(mine[0] if mine else min(group, key=lambda each: each.created_at_ms))
        for contract, one in held.items():
            if one.handle is not None and not any(
                same(each.handle, one.handle) for each in groups.get(contract, [])
            ):
                self._read_quietly(one.handle, contract)
        return {contract: tuple(group) for contract, group in groups.items()}

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one machine."""
        self._on_step(steps.INSPECT_CALLED)
        seen = self._noted(lambda: self.driver.inspect(handle, contract), contract)
        self._on_step(steps.INSPECT_ANSWERED)
        return seen

    def create(self, spec: InstanceSpec) -> Observation:
        """Make the machine."""
        self._on_step(steps.CREATE_CALLED)
        seen = self._noted(lambda: self.driver.create(spec), spec.contract)
        self._on_step(steps.CREATE_ANSWERED)
        return seen

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Ask for its removal."""
        self._on_step(steps.DESTROY_CALLED)
        seen = self._noted(lambda: self.driver.destroy(handle, contract), contract)
        self._on_step(steps.DESTROY_ANSWERED)
        return seen

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Stop it; Rejected where the driver cannot."""
        self._on_step(steps.STOP_CALLED)
        seen = self._noted(lambda: self._switch().stop(handle, contract), contract)
        self._on_step(steps.STOP_ANSWERED)
        return seen

    def stop_aside(self, handle: Handle, contract: ContractId) -> None:
        """Stop a second machine of a contract; what is known of the first stays."""
        self.guarded(lambda: self._switch().stop(handle, contract))

    def destroy_aside(self, handle: Handle, contract: ContractId) -> None:
        """Ask for the removal of a machine that is kept aside; what is known of the contract's stays."""
        self.guarded(lambda: self.driver.destroy(handle, contract))

    def note_aside(self, instance: str, state: Observed) -> None:
        """Remember how a machine that is kept aside was last seen."""
        with self._lock:
            self._asides[instance] = state

    def aside_state(self, instance: str) -> Observed:
        """Return how a machine that is kept aside was last seen in this run."""
        with self._lock:
            return self._asides.get(instance, Observed.UNKNOWN)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start it; Rejected where the driver cannot."""
        self._on_step(steps.START_CALLED)
        seen = self._noted(lambda: self._switch().start(handle, contract), contract)
        self._on_step(steps.START_MACHINE_ANSWERED)
        return seen

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Set a password inside a machine; return the one that works. Rejected where the driver cannot."""
        driver = self.driver
        if not isinstance(driver, CanResetPassword):
            raise Rejected(f"the driver {self.description.name} cannot set passwords")
        return self.guarded(lambda: driver.reset_password(handle, contract, user, password))

    def try_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> bool:
        """Ask the backend whether a password opens a machine. Rejected where the driver cannot tell."""
        driver = self.driver
        if not isinstance(driver, CanTryPassword):
            raise Rejected(f"the driver {self.description.name} cannot try passwords")
        return self.guarded(lambda: driver.try_password(handle, contract, user, password))

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        """Read a machine's traffic. Rejected where the driver cannot."""
        driver = self.driver
        if not isinstance(driver, CanMeter):
            raise Rejected(f"the driver {self.description.name} cannot meter machines")
        return self.guarded(lambda: driver.meter(handle, contract))

    def run_first(self, handle: Handle, contract: ContractId, script: FirstRun) -> RunState:
        """Have a first script run at most once in a machine. Rejected where the driver cannot."""
        driver = self.driver
        if not isinstance(driver, CanRunFirst):
            raise Rejected(f"the driver {self.description.name} runs no scripts")
        return self.guarded(lambda: driver.run_first(handle, contract, script))

    def note(self, seen: Observation) -> None:
        """Remember what a read said."""
        sight = Sight(seen.state, seen.scope, seen.attempt, seen.handle, self._clock.now_ms())
        with self._lock:
            self._sights[seen.contract] = sight

    def _switch(self) -> CanStop:
        if isinstance(self.driver, CanStop):
            return self.driver
        raise Rejected(f"the driver {self.description.name} cannot stop and start machines")

    def _noted(self, call: Callable[[], Observation], contract: ContractId) -> Observation:
        with self._lock:
            self._sights.pop(contract, None)  # until the answer: unknown
        seen = self.guarded(call)
        self.note(seen)
        return seen

    def _read_quietly(self, handle: Handle, contract: ContractId) -> None:
        try:
            self._noted(lambda: self.driver.inspect(handle, contract), contract)
        except DriverError:
            return  # stays unknown

    def guarded(self, call: Callable[[], T]) -> T:
        """Call the driver; what it raises beyond its five errors becomes Broken."""
        try:
            return call()
        except DriverError:
            raise
        except Exception as error:
            # Its text may hold anything; the traceback in the log has the place.
            _log.exception("the driver failed")
            raise Broken(f"the driver failed: {type(error).__name__}") from error


def same(one: Handle | None, other: Handle | None) -> bool:
    """Whether two handles name one machine: what one of them says, the other says too.

    A handle may hold more than the id where an older version of the driver wrote it.
    """
    if one is None or other is None or one.driver != other.driver:
        return False
    less, more = sorted((dict(one.data).items(), dict(other.data).items()), key=len)
    return bool(less) and less <= more


def handle_text(handle: Handle | None) -> str:
    """Return a handle as short text for reports and people."""
    if handle is None:
        return ""
    return f"{handle.driver}:{codec.to_json(dict(sorted(handle.data.items()))).decode()}"[:500]


def alive(found: Iterable[Observation]) -> list[Observation]:
    """Return the machines that are there and not on their way out."""
    return [each for each in found if each.state not in {Observed.ABSENT, Observed.DELETING}]

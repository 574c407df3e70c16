"""Says every minute that the agent is alive, in a thread that no other work can hold up."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterable

import structlog

from decent_cloud.agent.backend import Backend
from decent_cloud.agent.journal import Journal
from decent_cloud.agent.records import MAY_EXIST, Alarm, Instance, Quarantined
from decent_cloud.client.agents import AgentApi
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.status import Observed
from decent_cloud.wire.v1.agents import AsideReport, Heartbeat, Inventory

_log = structlog.get_logger("dc-agent")
MAX_ALARMS = 20
MAX_ASIDES = 100
SOON_S = 2.0
WRONG_DRIVER = "wrong_driver"
ALARM_DRIVER = "wrong_driver"


class Heart:
    """Beats until stopped; the first beat is at once."""

    def __init__(
        self, api: AgentApi, journal: Journal, backend: Backend, provider: AccountId, version: str
    ) -> None:
        self._api = api
        self._journal = journal
        self._backend = backend
        self._provider = provider
        self._version = version
        self._stop = threading.Event()

    def run(self, every_s: float) -> None:
        """Beat; a failed beat is no more than a word in the log."""
        while True:
            try:
                self.beat()
            except DecentError as error:
                self._unheard(error)
            except Exception:  # noqa: BLE001 - a loop's edge
                _log.exception("no heartbeat")
            # The backend's fingerprint belongs into the first minute's view of the provider.
            if self._stop.wait(every_s if self._backend.scope else min(every_s, SOON_S)):
                return

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def beat(self) -> None:
        """Tell version, driver, backend, how many instances, and which alarms are up."""
        instances = self._journal.instances()
        count = sum(each.stage in MAY_EXIST for each in instances)
        alarms = tuple(f"{a.name}: {a.text}"[:200] for a in self._journal.alarms())
        body = Heartbeat(
            version=self._version,
            driver=self._backend.description.name,
            scope=self._backend.scope,
            instances=count,
            alarms=alarms[:MAX_ALARMS],
            inventory=self._inventory(instances),
            asides=tuple(self._aside(each) for each in self._journal.quarantined()[:MAX_ASIDES]),
        )
        self._api.heartbeat(self._provider, body)
        self._journal.clear_alarm(ALARM_DRIVER)

    def _unheard(self, error: DecentError) -> None:
        """Say why; what only a person can mend is an alarm too, until a beat is taken."""
        if error.code != WRONG_DRIVER:
            _log.warning("no heartbeat", code=error.code, error=error.message)
            return
        _log.error("the platform does not take this agent", code=error.code, cure=error.message)
        alarm = Alarm(ALARM_DRIVER, error.message[:400], self._backend.now_ms())
        self._journal.raise_alarm(alarm)

    def _inventory(self, instances: Iterable[Instance]) -> Inventory:
        """Return what this host has; room is known where machines share a range of ports."""
        states = [self._backend.sight(each.contract).state for each in instances]
        described = self._backend.description
        free = None
        if described.port_range is not None:
            first, last = described.port_range
            free = max(0, last - first + 1 - len(self._journal.ports()))
        return Inventory(
            running=sum(each is Observed.RUNNING for each in states),
            free=free,
            driver_version=described.version,
            host=host_line(),
        )

    def _aside(self, each: Quarantined) -> AsideReport:
        return AsideReport(
            contract=each.contract,
            instance=each.instance,
            reason=each.reason[:400],
            first_seen_at_ms=each.first_seen_ms,
            state=self._backend.aside_state(each.instance),
        )


def host_line() -> str:
    """Say in a line what this host is."""
    found = platform.uname()
    cores = os.cpu_count() or 0
    python = platform.python_version()
    line = f"{found.node}: {found.system} {found.release} {found.machine}, {cores} cores, Python {python}"
    return line[:300]

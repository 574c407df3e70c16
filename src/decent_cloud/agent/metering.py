"""Tells the platform now and then what machines received and sent, in a thread of its own."""

from __future__ import annotations

import threading

import structlog

from decent_cloud.agent.records import Instance, Stage
from decent_cloud.agent.situation import Standing
from decent_cloud.agent.work import Work
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.status import Observed
from decent_cloud.wire.v1.assignments import HealthReport, TrafficReport

_log = structlog.get_logger("dc-agent")
_THERE = frozenset({Observed.RUNNING, Observed.STOPPED})


class Meter:
    """Reads and tells one machine after the other; what fails is read again at the next round."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stop = threading.Event()

    def run(self, every_s: float) -> None:
        """Meter until stopped; ends at once where the driver cannot."""
        if not self._work.backend.can_meter:
            return
        while not self._stop.wait(every_s):
            self.round()

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def round(self) -> None:
        """Meter every machine that is bound to us and seen, if the platform is one to be told things."""
        w = self._work
        for instance in w.journal.instances():
            if self._stop.is_set() or w.desired.standing is not Standing.TRUSTED:
                return
            try:
                self._meter(instance)
            except DecentError as error:
                _log.warning("not metered", contract=instance.contract, code=error.code)
            except Exception:  # noqa: BLE001 - a loop's edge
                _log.exception("not metered", contract=instance.contract)

    def _meter(self, instance: Instance) -> None:
        w = self._work
        sight = w.backend.sight(instance.contract)
        if (
            instance.stage is not Stage.BOUND
            or instance.handle is None
            or sight.state not in _THERE
        ):
            return
        seen = w.backend.meter(instance.handle, instance.contract)
        traffic = TrafficReport(
            received_bytes=seen.received_bytes,
            sent_bytes=seen.sent_bytes,
            since_ms=seen.since_ms,
        )
        body = HealthReport(
            observed=sight.state,
            scope=sight.scope,
            observed_at_ms=sight.at_ms,
            traffic=traffic,
        )
        w.api.health(instance.contract, body)

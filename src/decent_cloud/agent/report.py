"""Tells the platform what happened, in order per contract, until it acknowledges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from decent_cloud.agent import steps
from decent_cloud.agent.backoff import Backoff
from decent_cloud.agent.journal import Journal
from decent_cloud.agent.records import Report
from decent_cloud.agent.situation import due
from decent_cloud.client.agents import AgentApi
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.assignments import ProvisioningReport, ReportAnswer

_log = structlog.get_logger("dc-agent")

# What no later try can change; everything else is sent again for ever.
_FINAL = frozenset({Kind.INVALID, Kind.NOT_FOUND})
_FINAL_CODES = frozenset({"lease_lost", "wrong_scope", "credential_conflict"})


class Reporter:
    """Sends the kept reports of one contract, oldest first."""

    def __init__(
        self, api: AgentApi, journal: Journal, backoff: Backoff, on_step: steps.OnStep
    ) -> None:
        self._api = api
        self._journal = journal
        self._backoff = backoff
        self._on_step = on_step

    def due_ms(self, contract: ContractId) -> int | None:
        """Return when the contract's next report may be sent; None if none is kept."""
        open_ones = self._open(contract)
        return open_ones[0].next_try_ms if open_ones else None

    def send(
        self,
        contract: ContractId,
        now_ms: int,
        acknowledge: Callable[[Report, ReportAnswer], None],
        refuse: Callable[[Report, DecentError], None],
    ) -> None:
        """Send what is due; stops at the first that does not get through.

        `acknowledge` and `refuse` journal what follows from the answer, the report's end included.
        """
        for report in self._open(contract):
            if not due(report.next_try_ms, now_ms):
                return
            body: ProvisioningReport = codec.from_json(report.body, ProvisioningReport)  # type: ignore[arg-type]
            self._on_step(steps.REPORT_SENT)
            try:
                answer = self._api.report(contract, body, report.key)
            except DecentError as error:
                _log.warning("report not taken", contract=contract, code=error.code)
                if error.kind in _FINAL or error.code in _FINAL_CODES:
                    refuse(report, error)
                    continue
                tries = report.tries + 1
                self._journal.keep_report(
                    replace(
                        report,
                        tries=tries,
                        next_try_ms=now_ms + self._backoff.pause_ms(tries, error),
                        last_error=error.message[:300],
                    )
                )
                return
            self._on_step(steps.REPORT_ANSWERED)
            acknowledge(report, answer)
            self._on_step(steps.REPORT_ACKNOWLEDGED)

    def _open(self, contract: ContractId) -> list[Report]:
        return [each for each in self._journal.reports_of(contract) if not each.refused]

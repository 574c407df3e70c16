"""Which background work a server does: every handler and cron, wired to processors and the vantage point."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.app.ports.processors import Processor
from decent_cloud.app.ports.reach import Reach
from decent_cloud.jobs import contracts, housekeeping, payments, reach, refunds, releases, resets
from decent_cloud.jobs.handler import Cron, Handler


def handlers(processors: Mapping[str, Processor], vantage: Reach) -> tuple[Handler, ...]:
    """Return the code of every kind of job."""
    return (
        contracts.ApplyDeadline(),
        contracts.RenewContract(),
        contracts.EndRunning(),
        reach.CheckReach(vantage),
        payments.CollectPayment(processors),
        payments.WatchPayment(processors),
        refunds.SendRefund(processors),
        releases.SweepReleases(),
    )


def crons() -> tuple[Cron, ...]:
    """Return all work that comes round."""
    return (
        contracts.tick(),
        payments.deadlines(),
        resets.deadlines(),
        releases.hourly(),
        housekeeping.sweep(),
    )

"""Which background work a server does: every handler and cron, wired to processors and the vantage point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decent_cloud.app.ports.price_sources import Source
from decent_cloud.app.ports.processors import Processor
from decent_cloud.app.ports.reach import Reach
from decent_cloud.jobs import (
    contracts,
    housekeeping,
    payments,
    prices,
    reach,
    refunds,
    releases,
    resets,
)
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


def observing(sources: Sequence[Source], pool_floor_usd_minor: int) -> tuple[Handler, ...]:
    """Return the code of rounds of prices, where any source is switched on."""
    return (prices.ObservePrices(sources, pool_floor_usd_minor),) if sources else ()


def crons(*, observe: bool = False) -> tuple[Cron, ...]:
    """Return all work that comes round; rounds of prices only where a source can be asked."""
    return (
        *((prices.minutely(),) if observe else ()),
        prices.hourly(),
        contracts.tick(),
        payments.deadlines(),
        resets.deadlines(),
        releases.hourly(),
        housekeeping.sweep(),
    )

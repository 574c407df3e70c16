"""Background work of password resets: deadlines."""

from __future__ import annotations

from decent_cloud.app import platform, resets
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.jobs.handler import Cron

AT_ONCE = 100


def deadlines() -> Cron:
    """Return the cron that ends what was not taken up or finished in time."""
    return Cron("resets.tick", platform.TICK_MS, _tick)


def _tick(uow: UnitOfWork, now_ms: int) -> None:
    if not platform.asleep(uow, now_ms):
        resets.apply_deadlines(uow, now_ms, AT_ONCE)

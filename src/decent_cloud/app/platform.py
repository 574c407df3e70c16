"""The platform itself: what its database was made for, and what an outage does to deadlines."""

from __future__ import annotations

from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.kernel.clock import HOUR_MS, SECOND_MS
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.status import ServerMode

TICK_MS = 10 * SECOND_MS
GAP_MS = 60 * SECOND_MS
PAID_END_GRACE_MS = HOUR_MS  # for paid time that ended while nobody could extend it


class WrongMode(Conflict):
    """This database was made for another mode; start the server in that mode, or with another database."""

    code = "wrong_mode"


class WrongPlatform(Conflict):
    """This database belongs to another platform key; give the server its own platform.key back."""

    code = "wrong_platform"


def ensure_stamp(uow: UnitOfWork, mode: ServerMode, platform_id: str) -> None:
    """Write into a new database what it is for; a server for anything else must not start on it.

    Errors: WrongMode, WrongPlatform.
    """
    found = uow.platform.mode()
    if found is None:
        uow.platform.stamp(mode, platform_id)
        return
    if found is not mode:
        raise WrongMode(database=found.value, server=mode.value)
    if uow.platform.platform_id() != platform_id:
        raise WrongPlatform


def tick(uow: UnitOfWork, now_ms: int) -> int:
    """Note that the platform is awake; after a gap over 60 s, move every open deadline by it first.

    Paid time that ended inside the gap gets one hour. Returns the gap, 0 if there was none.
    """
    last_ms = uow.platform.last_tick_ms()
    if last_ms >= now_ms or not uow.platform.tick(last_ms, now_ms):
        return 0
    gap_ms = now_ms - last_ms
    if not last_ms or gap_ms <= GAP_MS:
        return 0
    uow.contracts.shift_deadlines(gap_ms, last_ms, now_ms + PAID_END_GRACE_MS)
    uow.assignments.shift_leases(gap_ms, last_ms)
    uow.resets.shift_deadlines(gap_ms)
    return gap_ms


def asleep(uow: UnitOfWork, now_ms: int) -> bool:
    """Tell whether a gap lies behind that no tick has accounted for yet: deadlines must wait for it."""
    last_ms = uow.platform.last_tick_ms()
    return last_ms > 0 and now_ms - last_ms > GAP_MS

"""What a decision about one contract rests on, and what it can be: records, no rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.agent.records import Instance, Want
from decent_cloud.drivers.contract import Handle
from decent_cloud.kernel.clock import HOUR_MS, SECOND_MS
from decent_cloud.kernel.status import Observed

NEVER_MS = 2**62
LONGEST_PAUSE_MS = 2 * HOUR_MS


class Standing(StrEnum):
    """How far the platform's word counts at the moment."""

    UNKNOWN = "unknown"  # not heard yet since the start
    TRUSTED = "trusted"
    SILENT = "silent"  # no answer, several times over
    DISTRUSTED = "distrusted"  # foreign, rolled back, or it does not know us


class Do(StrEnum):
    """One step; each is one method of the actor."""

    SEND_REPORTS = "send_reports"
    TAKE_LEASE = "take_lease"
    KEEP_LEASE = "keep_lease"
    ADOPT = "adopt"
    PREPARE = "prepare"
    START_CREATE = "start_create"
    CREATE = "create"
    LOOK_UP = "look_up"
    INSPECT = "inspect"
    START = "start"
    STOP = "stop"
    TELL_HEALTH = "tell_health"
    RESET = "reset"
    RECLAIM = "reclaim"
    BEGIN_DESTROY = "begin_destroy"
    DESTROY = "destroy"
    CONFIRM_GONE = "confirm_gone"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Step:
    """Do this now."""

    do: Do
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before this time, unless something changes."""

    until_ms: int = NEVER_MS


@dataclass(frozen=True, slots=True)
class Sight:
    """What the last read of the backend said; UNKNOWN after any error and before the first read."""

    state: Observed = Observed.UNKNOWN
    scope: str = ""
    attempt: str = ""
    handle: Handle | None = None
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Us:
    """Who plans: our kid, our backend's fingerprint (empty: not known), what the driver can."""

    kid: str
    scope: str
    can_stop: bool
    read_lag_ms: int = 10 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a decision about one contract rests on."""

    now_ms: int
    standing: Standing
    us: Us
    want: Want | None
    instance: Instance | None
    sight: Sight = Sight()
    lease_held: bool = False
    secrets_held: bool = False
    report_due_ms: int | None = None  # when the next kept report may be sent; None = there is none
    halted: bool = False  # the circuit breaker holds up what no ended contract stands behind


def due(next_ms: int, now_ms: int) -> bool:
    """Whether a pause is over; one that is longer than any we make comes of a clock that was set back."""
    return now_ms >= next_ms or next_ms - now_ms > LONGEST_PAUSE_MS


def passed(since_ms: int, pause_ms: int, now_ms: int) -> bool:
    """Whether that long has passed; also if `since` lies ahead, which it can't unless a clock was set back."""
    return not 0 <= now_ms - since_ms < pause_ms

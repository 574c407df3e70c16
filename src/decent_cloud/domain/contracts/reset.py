"""A new way into a machine, password or SSH keys: its record, its events, one table, the one function that moves it.

The password itself is never here: the agent makes it, and its sealed form is a credential of the contract.
The SSH keys come in a list that the tenant signed, which the agent verifies for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import Conflict, RateLimited
from decent_cloud.kernel.ids import AccountId, ContractId, Kid, PoolId, ResetId
from decent_cloud.kernel.lifecycle import Keeper, Lifecycle
from decent_cloud.kernel.status import ResetFailure, ResetOrigin, ResetState, ResetSubject

REQUESTED_MS = 15 * MINUTE_MS
WORKED_ON_MS = 60 * MINUTE_MS
PER_HOUR = 3


class ResetOpen(Conflict):
    """A reset of this contract's password or SSH keys is under way; wait for its end."""

    code = "reset_open"


class ResetTaken(Conflict):
    """Another agent works on this reset."""

    code = "reset_taken"


class TooManyResets(RateLimited):
    """A contract's password is reset at most three times an hour, and so are its SSH keys."""

    code = "too_many_resets"


class ResetNotPromised(Conflict):
    """The signed terms of this contract do not promise resets; log in with the SSH key that you have."""

    code = "reset_not_promised"


class KeyListStale(Conflict):
    """A newer SSH key list of this contract is known; sign one with a higher number."""

    code = "key_list_stale"


@dataclass(frozen=True, slots=True)
class Reset:
    """One reset. `n` numbers what it brings.

    Of a password it is the number of the last credential that the agent sent, 0 = none yet; of SSH keys
    the number of the list, whose signed `statement` is kept as JSON.
    """

    id: ResetId
    contract: ContractId
    provider: AccountId
    pool: PoolId
    origin: ResetOrigin
    state: ResetState
    requested_at_ms: int
    state_since_ms: int
    deadline_ms: int  # 0 = none
    asked_by: str
    agent: str = ""  # kid of the agent that works on it
    n: int = 0
    failure: str = ""  # a ResetFailure, or empty
    detail: str = ""
    subject: ResetSubject = ResetSubject.PASSWORD
    statement: str = ""
    version: int = 1


class ResetEvent(StrEnum):
    """What can happen to a reset."""

    CLAIMED = "claimed"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    DEADLINE_PASSED = "deadline_passed"
    CONTRACT_ENDED = "contract_ended"


S, E = ResetState, ResetEvent

RESET: Lifecycle[ResetState, ResetEvent] = Lifecycle(
    name="reset",
    states=ResetState,
    events=ResetEvent,
    initial=S.REQUESTED,
    table={
        (S.REQUESTED, E.CLAIMED): S.CLAIMED,
        (S.REQUESTED, E.DEADLINE_PASSED): S.EXPIRED,
        (S.REQUESTED, E.CONTRACT_ENDED): S.FAILED,
        (S.CLAIMED, E.APPLIED): S.APPLIED,
        (S.CLAIMED, E.FAILED): S.FAILED,
        (S.CLAIMED, E.DEADLINE_PASSED): S.FAILED,
        (S.CLAIMED, E.CONTRACT_ENDED): S.FAILED,
        (S.APPLIED, E.VERIFIED): S.VERIFIED,
        (S.APPLIED, E.FAILED): S.FAILED,
        (S.APPLIED, E.DEADLINE_PASSED): S.FAILED,
        (S.APPLIED, E.CONTRACT_ENDED): S.FAILED,
    },
    keepers={
        S.REQUESTED: Keeper(
            "agent",
            "15 min, once there is a machine; a provider's reset starts at claimed",
        ),
        S.CLAIMED: Keeper("agent", "60 min -> failed, alarm"),
        S.APPLIED: Keeper("agent", "60 min -> failed, alarm"),
    },
)

OPEN = frozenset({S.REQUESTED, S.CLAIMED, S.APPLIED})
_FAILURES = {
    E.DEADLINE_PASSED: ResetFailure.TIMED_OUT,
    E.CONTRACT_ENDED: ResetFailure.CONTRACT_ENDED,
}


def step(
    reset: Reset,
    event: ResetEvent,
    now_ms: int,
    *,
    agent: Kid | None = None,
    failure: ResetFailure | None = None,
    detail: str = "",
) -> Reset:
    """Return the reset after `event`, with its next deadline; nothing else follows from a step.

    `agent` is who claims it; a failure that the agent reports says why. The version stays: the store
    counts it. Errors: IllegalTransition.
    """
    state = RESET.next(reset.state, event)
    why = failure or _FAILURES.get(event)
    return replace(
        reset,
        state=state,
        state_since_ms=now_ms,
        deadline_ms=now_ms + WORKED_ON_MS if state in OPEN else 0,
        agent=agent or reset.agent,
        failure=why.value if why and state not in OPEN else "",
        detail=detail,
    )


def newest_list(before: tuple[Reset, ...]) -> Reset | None:
    """Return which of a contract's resets has its newest SSH key list."""
    lists = (one for one in before if one.subject is ResetSubject.SSH_KEYS)
    return max(lists, key=lambda one: one.n, default=None)


def check_limits(
    before: tuple[Reset, ...], subject: ResetSubject, origin: ResetOrigin, now_ms: int
) -> None:
    """Refuse one more reset of a contract: one open at a time, three an hour of a kind for each side.

    Errors: ResetOpen, TooManyResets.
    """
    if any(one.state in OPEN for one in before):
        raise ResetOpen
    recent = sorted(
        one.requested_at_ms
        for one in before
        if (one.subject, one.origin) == (subject, origin) and one.requested_at_ms > now_ms - HOUR_MS
    )
    if len(recent) >= PER_HOUR:
        free_ms = recent[-PER_HOUR] + HOUR_MS
        raise TooManyResets(retry_after_s=max(1, -(-(free_ms - now_ms) // 1_000)))

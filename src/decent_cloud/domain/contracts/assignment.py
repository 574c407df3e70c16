"""An assignment: one contract's desired instance state as work for an agent, and who may work on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.ids import AccountId, ContractId, Kid, PoolId
from decent_cloud.kernel.lifecycle import Keeper, Lifecycle
from decent_cloud.kernel.status import AssignmentState, Desired, Observed

LEASE_MS = 60 * SECOND_MS
TAKE_OVER_MS = 15 * MINUTE_MS  # a slow create of the agent before may still be under way


class LeaseLost(Conflict):
    """The lease belongs to another agent now; quarantine and report what you made."""

    code = "lease_lost"


class LeaseTaken(Conflict):
    """Another agent works on this contract; ask again when its lease is over."""

    code = "lease_taken"


class WrongScope(Conflict):
    """A create may have begun in another backend; only an agent of that backend can go on."""

    code = "wrong_scope"


class NotWanted(Conflict):
    """Nothing is to be made for this contract now; fetch the desired state."""

    code = "not_wanted"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A lease's fence only ever grows; `scope` is the backend's fingerprint from the first create call on."""

    contract: ContractId
    provider: AccountId
    pool: PoolId
    state: AssignmentState
    desired: Desired
    created_at_ms: int
    attempt: int = 0
    fence: int = 0
    holder: str = ""  # kid
    lease_expires_ms: int = 0
    scope: str = ""
    instance: str = ""
    observed: Observed = Observed.UNKNOWN
    observed_at_ms: int = 0
    ended_at_ms: int = 0
    version: int = 1


class AssignmentEvent(StrEnum):
    """What can happen to an assignment."""

    LEASED = "leased"
    RENEWED = "renewed"
    LEASE_OVER = "lease_over"
    CREATE_STARTED = "create_started"
    TAKEN_OVER = "taken_over"
    BOUND = "bound"
    FAILED = "failed"
    NOT_WANTED = "not_wanted"
    GONE = "gone"


S, E = AssignmentState, AssignmentEvent

ASSIGNMENT: Lifecycle[AssignmentState, AssignmentEvent] = Lifecycle(
    name="assignment",
    states=AssignmentState,
    events=AssignmentEvent,
    initial=S.OPEN,
    table={
        (S.OPEN, E.LEASED): S.LEASED,
        (S.OPEN, E.NOT_WANTED): S.ENDED,
        (S.LEASED, E.RENEWED): S.LEASED,
        (S.LEASED, E.LEASE_OVER): S.OPEN,
        (S.LEASED, E.CREATE_STARTED): S.CREATE_STARTED,
        (S.LEASED, E.FAILED): S.ENDED,
        (S.LEASED, E.NOT_WANTED): S.ENDED,
        (S.CREATE_STARTED, E.RENEWED): S.CREATE_STARTED,
        (S.CREATE_STARTED, E.TAKEN_OVER): S.CREATE_STARTED,
        (S.CREATE_STARTED, E.BOUND): S.BOUND,
        (S.CREATE_STARTED, E.FAILED): S.ENDED,
        (S.CREATE_STARTED, E.GONE): S.ENDED,
        (S.BOUND, E.GONE): S.ENDED,
    },
    keepers={
        S.OPEN: Keeper("platform", "the contract's"),
        S.LEASED: Keeper("agent", "the lease, 60 s after its last renewal"),
        S.CREATE_STARTED: Keeper("agent", "the lease, then 15 min more before another may go on"),
        S.BOUND: Keeper("agent", "the contract's end"),
    },
)


def take_lease(assignment: Assignment, agent: Kid, scope: str, now_ms: int) -> Assignment:
    """Give the work to an agent: a new fence and a new attempt.

    An agent that holds the fence renews instead, also after its lease ran out.
    Errors: NotWanted, LeaseTaken, WrongScope, IllegalTransition.
    """
    if assignment.state is S.CREATE_STARTED:
        return _take_over(assignment, agent, scope, now_ms)
    if assignment.desired is not Desired.RUNNING:
        raise NotWanted
    current = assignment
    if current.state is S.LEASED:
        # Before a create call nothing can exist: the holder itself may start anew at once.
        if now_ms < current.lease_expires_ms and current.holder != agent:
            raise LeaseTaken(retry_at_ms=current.lease_expires_ms)
        current = replace(current, state=ASSIGNMENT.next(current.state, E.LEASE_OVER))
    return _granted(current, E.LEASED, agent, now_ms)


def renew(assignment: Assignment, agent: Kid, fence: int, now_ms: int) -> Assignment:
    """Prolong a lease; nothing changes once the instance is bound.

    Errors: LeaseLost.
    """
    check_fence(assignment, agent, fence)
    if assignment.state is S.BOUND:
        return assignment
    if not ASSIGNMENT.allows(assignment.state, E.RENEWED):
        raise LeaseLost
    return replace(assignment, lease_expires_ms=now_ms + LEASE_MS)


def start_create(
    assignment: Assignment, agent: Kid, fence: int, scope: str, now_ms: int
) -> Assignment:
    """Allow the first create call of this attempt; asking again with the same fence changes nothing more.

    Errors: LeaseLost, NotWanted, WrongScope.
    """
    check_fence(assignment, agent, fence)
    if assignment.desired is not Desired.RUNNING:
        raise NotWanted
    if assignment.scope and assignment.scope != scope:
        raise WrongScope
    if assignment.state is S.BOUND:
        raise NotWanted("the instance of this contract was made already; fetch the desired state")
    if assignment.state is not S.CREATE_STARTED and not ASSIGNMENT.allows(
        assignment.state, E.CREATE_STARTED
    ):
        raise LeaseLost
    return replace(
        assignment, state=S.CREATE_STARTED, scope=scope, lease_expires_ms=now_ms + LEASE_MS
    )


def bind(assignment: Assignment, instance: str, now_ms: int) -> Assignment:
    """Record that the instance was made; the fence was checked. Ended or bound ones stay as they are.

    Errors: IllegalTransition before a create was allowed.
    """
    if assignment.state in {S.BOUND, S.ENDED}:
        return assignment
    return replace(
        assignment,
        state=ASSIGNMENT.next(assignment.state, E.BOUND),
        instance=instance,
        observed=Observed.RUNNING,
        observed_at_ms=now_ms,
    )


def want(assignment: Assignment, desired: Desired, now_ms: int) -> Assignment:
    """Change what is wanted; work that no create call was allowed for ends at once when it is `absent`.

    `absent` is for ever.
    """
    if assignment.state is S.ENDED or assignment.desired is Desired.ABSENT:
        return assignment
    wanted = replace(assignment, desired=desired)
    if desired is Desired.ABSENT and ASSIGNMENT.allows(wanted.state, E.NOT_WANTED):
        return end(wanted, E.NOT_WANTED, now_ms)
    return wanted


def end(assignment: Assignment, event: AssignmentEvent, now_ms: int) -> Assignment:
    """End the work: not wanted, failed with nothing left behind, or a read said gone.

    Errors: IllegalTransition.
    """
    return replace(
        assignment,
        state=ASSIGNMENT.next(assignment.state, event),
        ended_at_ms=now_ms,
        desired=Desired.ABSENT,
        observed=Observed.ABSENT,
        observed_at_ms=now_ms,
    )


def check_fence(assignment: Assignment, agent: Kid, fence: int) -> None:
    """Refuse whoever does not hold the newest lease.

    Errors: LeaseLost.
    """
    if assignment.fence != fence or assignment.holder != agent:
        raise LeaseLost(fence=assignment.fence)


def _take_over(assignment: Assignment, agent: Kid, scope: str, now_ms: int) -> Assignment:
    """Go on after a create call may have happened: same backend only, and never soon."""
    if scope != assignment.scope:
        raise WrongScope
    free_at_ms = assignment.lease_expires_ms + TAKE_OVER_MS
    if now_ms < free_at_ms:
        raise LeaseTaken(
            "a create may be under way; look for the instance and ask again later",
            retry_at_ms=free_at_ms,
        )
    return _granted(assignment, E.TAKEN_OVER, agent, now_ms)


def _granted(assignment: Assignment, event: AssignmentEvent, agent: Kid, now_ms: int) -> Assignment:
    return replace(
        assignment,
        state=ASSIGNMENT.next(assignment.state, event),
        holder=agent,
        fence=assignment.fence + 1,
        attempt=assignment.attempt + 1,
        lease_expires_ms=now_ms + LEASE_MS,
    )

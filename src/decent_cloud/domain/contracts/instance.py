"""What reports say about the real resource, and what may be concluded from them."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.kernel.status import AssignmentState, Desired, Observed


def observe(
    assignment: Assignment, observed: Observed, scope: str, observed_at_ms: int, now_ms: int
) -> Assignment:
    """Record what a read of the backend said.

    A report of another backend says nothing: `unknown`. One older than the last is ignored, and an
    agent's clock that runs ahead counts as ours, so that it cannot silence later reports.
    """
    at_ms = min(observed_at_ms, now_ms)
    if at_ms < assignment.observed_at_ms or assignment.state is AssignmentState.ENDED:
        return assignment
    seen = observed if trusted(assignment, scope) else Observed.UNKNOWN
    return replace(assignment, observed=seen, observed_at_ms=at_ms)


def trusted(assignment: Assignment, scope: str) -> bool:
    """Tell whether `scope` is the backend that was journalled when the create began."""
    return bool(assignment.scope) and assignment.scope == scope


def runs(assignment: Assignment) -> bool:
    """Tell whether the last word about the instance is that it runs."""
    return assignment.state is AssignmentState.BOUND and assignment.observed is Observed.RUNNING


def gone(assignment: Assignment, scope: str) -> bool:
    """Tell whether a read that found nothing proves that the instance is gone.

    Only from the same backend, and only once an instance was known or nothing is wanted: before
    that, an empty look-up may just be early.
    """
    if not trusted(assignment, scope):
        return False
    if assignment.state is AssignmentState.BOUND:
        return True
    return (
        assignment.state is AssignmentState.CREATE_STARTED and assignment.desired is Desired.ABSENT
    )

"""What a pool's agents say of an offering: waited for a moment after it was published, and shown with cures."""

from __future__ import annotations

import time

from decent_cloud.cli.session import Session
from decent_cloud.kernel.status import PlanState
from decent_cloud.wire.v1.offerings import OfferingView

WAIT_S = 10.0
_POLL_S = 0.25


def wait_for_word(session: Session, found: OfferingView, wait_s: float) -> OfferingView:
    """Return the offering once an agent has compared it with its backend, or as it is when the time is over."""
    end_s = time.monotonic() + wait_s
    if found.plan is PlanState.AWAITED and wait_s:
        session.out.say("waiting for the agent to compare it with its backend")
    while found.plan is PlanState.AWAITED and time.monotonic() < end_s:
        time.sleep(_POLL_S)
        found = session.client.offerings.read(found.id)
    return found


def plan_rows(found: OfferingView) -> list[tuple[str, str]]:
    """Return what an offering's provider sees of the agents' words, as rows of a table."""
    said = {
        PlanState.AWAITED: "not compared with the backend yet: decent offering show says when",
        PlanState.FITS: "can be made, the agent says",
        PlanState.FAILS: "cannot be made, the agent says: nobody can rent it",
    }
    rows = [("backend", said[found.plan])] if found.plan in said else []
    for check in found.plan_checks or ():
        for problem in check.problems:
            rows.append(("problem", f"{problem.detail} (agent {check.agent})"))
            if problem.cure:
                rows.append(("cure", problem.cure))
    return rows

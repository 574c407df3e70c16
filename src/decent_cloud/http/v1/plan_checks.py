"""Offerings for the agents that are to make them, and what the agents say of them."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from decent_cloud.app import plan_checks
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.plan_checks import PlanCheck
from decent_cloud.domain.catalog.terms import promises_of
from decent_cloud.http.call import Call
from decent_cloud.http.v1.pages import Cursor, Limit, page_request
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.paging import DEFAULT_LIMIT
from decent_cloud.wire.v1.plan_checks import (
    OfferedPlan,
    OfferedPlans,
    PlanCheckView,
    PlanProblemView,
    PlanWords,
    PlanWordsTaken,
)


@get("/agents/me/offerings", summary="What the pool offers")
async def list_offered(
    call: NamedDependency[Call], cursor: Cursor = "", limit: Limit = DEFAULT_LIMIT
) -> OfferedPlans:
    """List the published offerings of the calling agent's pool, newest first, with their settings."""
    page = page_request(cursor, limit)
    found = await call.read(lambda uow: plan_checks.offered(uow, call.caller, page, call.now_ms))
    return OfferedPlans(items=tuple(map(offered_plan, found.items)), next=found.next)


@post("/agents/me/plan-checks", status_code=200, summary="Say which offerings fit")
async def report_plan_checks(
    call: NamedDependency[Call], data: JSONBody[PlanWords]
) -> Response[PlanWordsTaken]:
    """Say what came of comparing offerings with the agent's backend; what no agent can make cannot be rented."""
    return await call.write(
        lambda uow: PlanWordsTaken(
            taken=plan_checks.take_words(uow, call.caller, data, call.now_ms)
        )
    )


def offered_plan(one: Offering) -> OfferedPlan:
    """Render an offering for an agent."""
    promises = promises_of(one.terms)
    return OfferedPlan(
        offering=one.id,
        revision=one.version,
        image=one.image,
        cpu_milli=one.cpu_milli,
        memory_mib=one.memory_mib,
        disk_gib=one.disk_gib,
        settings=dict(one.settings),
        reset=promises.reset,
        management_key=promises.management_key,
    )


def plan_check_view(check: PlanCheck) -> PlanCheckView:
    """Render an agent's word."""
    problems = tuple(PlanProblemView(one.check, one.detail, one.cure) for one in check.problems)
    return PlanCheckView(agent=check.agent, at=rfc3339(check.at_ms), problems=problems)


ROUTES = (list_offered, report_plan_checks)

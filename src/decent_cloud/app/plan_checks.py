"""Offerings as agents compare them with their backends, and what the platform makes of their words."""

from __future__ import annotations

from collections.abc import Sequence

from decent_cloud.app.agents import authorize
from decent_cloud.app.caller import Caller
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.plan_checks import PlanCheck, PlanProblem, current
from decent_cloud.kernel.ids import Kid, OfferingId
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import OfferingState, Permission
from decent_cloud.wire.v1.plan_checks import PlanWord, PlanWords

HINT = "offering"  # on a pool's stream: compare what is offered


def offered(uow: UnitOfWork, caller: Caller, page: PageRequest, now_ms: int) -> Page[Offering]:
    """List what is on offer in the calling agent's pool, newest first.

    Errors: AgentNotAllowed.
    """
    delegation = authorize(uow, caller, Permission.FETCH_CONTRACTS, now_ms)
    return uow.offerings.published_in(delegation.pool, page)


def take_words(uow: UnitOfWork, caller: Caller, command: PlanWords, now_ms: int) -> int:
    """Keep what the calling agent found; return how many words were about offerings as they are now.

    A word about an older revision, or about what is not this pool's, is of no use and not kept.
    Errors: AgentNotAllowed.
    """
    delegation = authorize(uow, caller, Permission.HEARTBEAT, now_ms)
    taken = 0
    for word in command.items:
        found = uow.offerings.get(OfferingId(word.offering))
        if found is None or (found.provider, found.pool) != (caller.account, delegation.pool):
            continue
        if found.state is OfferingState.PUBLISHED and found.version == word.revision:
            uow.offerings.put_plan_check(_check(found, caller.kid, word, now_ms))
            taken += 1
    return taken


def words_about(
    uow: UnitOfWork, offerings: Sequence[Offering]
) -> dict[OfferingId, tuple[PlanCheck, ...]]:
    """Return every agent's newest word about each of these offerings; one read for all."""
    found: dict[OfferingId, tuple[PlanCheck, ...]] = {one.id: () for one in offerings}
    for check in uow.offerings.plan_checks(tuple(found)):
        found[check.offering] += (check,)
    return found


def words_now(uow: UnitOfWork, offering: Offering, agents: Sequence[Kid]) -> tuple[PlanCheck, ...]:
    """Return what the agents that are online say of one offering as it is now."""
    return current(words_about(uow, [offering])[offering.id], offering.version, agents)


def ask(uow: UnitOfWork, offering: Offering, now_ms: int) -> None:
    """Hint to the pool's agents that something that is on offer is new or has changed."""
    if offering.state is OfferingState.PUBLISHED:
        uow.outbox.append(Event(f"pool/{offering.pool}", HINT, "", {}, now_ms))


def _check(offering: Offering, agent: Kid, word: PlanWord, now_ms: int) -> PlanCheck:
    problems = tuple(PlanProblem(one.check, one.detail, one.cure) for one in word.problems)
    return PlanCheck(offering.id, agent, word.revision, now_ms, problems)

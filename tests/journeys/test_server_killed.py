"""The server dies by SIGKILL at every step of every job and cron, is started again, and must converge.

Which steps there are is not written here: a first life without a kill tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from decent_cloud.app.payments import WATCH_KIND
from decent_cloud.jobs.runner import LEASE_MS
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.programs.server_jobs import crons, handlers
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import Market
from devtools.processes import until
from devtools.server_main import FakeReach
from tests.journeys import convergence
from tests.journeys.resurrection import resurrected

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(300)]

Life = Callable[[Market, OfferingView], None]


def _rented_and_cancelled(market: Market, offering: OfferingView) -> None:
    contract = market.tenant.rent(offering).id
    market.wait_state(contract, "active")
    convergence.ended(market, contract)
    assert len(market.machines(contract)) == 1


def _run_out(market: Market, offering: OfferingView) -> None:
    contract = market.tenant.rent(offering).id
    market.wait_state(contract, "active")
    market.pass_time(HOUR_MS + MINUTE_MS)
    market.wait_state(contract, "lapsed")
    market.pass_time(24 * HOUR_MS + MINUTE_MS)
    view = market.wait_state(contract, "completed")
    market.wait_gone(contract)
    assert market.paid_back_minor(contract) == (36, 0)
    assert len(market.machines(contract)) == 1
    market.check_terms(view)
    market.check_books()


def _disputed_and_won(market: Market, offering: OfferingView) -> None:
    contract = market.tenant.rent(offering, card="test-dispute-won").id
    market.wait_state(contract, "active")
    market.pass_time(5_000)
    # After a crash the time for its restart may pass over the open dispute.
    until("the dispute is seen", lambda: _payment(market, contract) in {"disputed", "won"})
    market.pass_time(10_000)
    until("the dispute is decided", lambda: _payment(market, contract) == "won")
    market.wait_state(contract, "active")
    convergence.ended(market, contract)
    assert len(market.machines(contract)) == 1


def _payment(market: Market, contract: str) -> str:
    return market.tenant.contract(contract).payments[0].state.value


LIVES: tuple[Life, ...] = (_rented_and_cancelled, _run_out, _disputed_and_won)


@pytest.fixture(scope="module")
def busy_market(shared_market: Market) -> Iterator[tuple[Market, OfferingView]]:
    agent = shared_market.new_agent()
    agent.start()
    yield shared_market, shared_market.offering()
    agent.kill()


@pytest.fixture(scope="module")
def lives(busy_market: tuple[Market, OfferingView]) -> dict[Life, tuple[str, ...]]:
    """Tell for each life which steps of jobs it passes; one that adds none repeats those of its own kind."""
    market, offering = busy_market
    known: set[str] = set()
    found: dict[Life, tuple[str, ...]] = {}
    for life in LIVES:
        before = len(market.server.steps())
        life(market, offering)
        passed = dict.fromkeys(market.server.steps()[before:])
        new = [each for each in passed if each not in known and not _is_cron(each)]
        looks = [f"{each}#{n}" for n in (1, 2) for each in passed if each.startswith(WATCH_KIND)]
        found[life] = tuple(new or looks)
        known.update(passed)
    return found


def _is_cron(step: str) -> bool:
    return step.split(":")[1] == "cron"


def test_the_lives_pass_every_kind_of_job(lives: dict[Life, tuple[str, ...]]) -> None:
    """Later: payouts, deliveries, archive."""
    passed = {step.split(":")[0] for steps in lives.values() for step in steps}
    kinds = {each.kind for each in handlers({}, FakeReach(()))}
    assert passed == kinds


@pytest.mark.parametrize("life", LIVES)
def test_killed_at_every_job_step_of_a_life(
    busy_market: tuple[Market, OfferingView], lives: dict[Life, tuple[str, ...]], life: Life
) -> None:
    market, offering = busy_market
    assert lives[life]
    for step in lives[life]:
        with resurrected(market, step) as died:
            life(market, offering)
            assert died.is_set(), f"the server did not pass {step}"


def test_killed_at_every_step_of_its_crons(busy_market: tuple[Market, OfferingView]) -> None:
    market, offering = busy_market
    contract = market.tenant.rent(offering, hours=24).id
    market.wait_state(contract, "active")
    for cron in crons():
        for point in ("before", "acted", "after"):
            market.server.kill()
            market.pass_time(max(cron.every_ms, LEASE_MS) + 1_000)
            market.server.start(f"{cron.name}:cron:{point}")
            market.server.wait_killed()
    market.server.start()
    convergence.ended(market, contract)
    assert len(market.machines(contract)) == 1

"""The server dies by SIGKILL at every step of every job and cron, is started again, and must converge.

Which steps there are is not written here: a first life without a kill tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from decent_cloud.app.payments import WATCH_KIND
from decent_cloud.jobs.runner import LEASE_MS
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.programs.server_jobs import crons, handlers
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import Market, Shape
from devtools.processes import until
from devtools.server_main import FakeReach
from tests.journeys import convergence
from tests.journeys.resurrection import resurrected

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(300)]

Life = Callable[[Market, OfferingView], None]


def _rented_and_cancelled(market: Market, offering: OfferingView) -> None:
    contract = _rent(market, offering)
    market.wait_state(contract, "active")
    convergence.ended(market, contract)
    assert len(market.machines(contract)) == 1


def _run_out(market: Market, offering: OfferingView) -> None:
    contract = _rent(market, offering)
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
    contract = _rent(market, offering, card="test-dispute-won")
    market.wait_state(contract, "active")
    market.pass_time(5_000)
    # After a crash the time for its restart may pass over the open dispute.
    until("the dispute is seen", lambda: _payment(market, contract) in {"disputed", "won"})
    market.pass_time(10_000)
    until("the dispute is decided", lambda: _payment(market, contract) == "won")
    market.wait_state(contract, "active")
    convergence.ended(market, contract)
    assert len(market.machines(contract)) == 1


def _disputed_for_a_day(market: Market, offering: OfferingView) -> None:
    """The look after a day of suspension finds a machine that was stopped, and leaves the contract alone."""
    contract = _rent(market, offering, card="test-dispute-won")
    market.wait_state(contract, "active")
    market.pass_time(5_000)
    until("the dispute is seen", lambda: _payment(market, contract) in {"disputed", "won"})
    market.pass_time(24 * HOUR_MS + MINUTE_MS)
    until("the dispute is decided", lambda: _payment(market, contract) == "won")
    market.wait_state(contract, "active")
    convergence.ended(market, contract)
    assert len(market.machines(contract)) == 1


def _rent(market: Market, offering: OfferingView, **how: str) -> str:
    market.wait_rentable(offering)  # after a jump of time the agent must be heard again
    return market.tenant.rent(offering, **how).id  # type: ignore[arg-type]


def _payment(market: Market, contract: str) -> str:
    return market.tenant.contract(contract).payments[0].state.value


def _renewed(market: Market, offering: OfferingView) -> None:
    before = _credit(market)
    contract = _rent(market, offering, renew="credit")
    market.wait_state(contract, "active")
    market.pass_time(46 * MINUTE_MS)  # a quarter of its hour before the end
    until("it is renewed", lambda: market.tenant.credit_minor() == before - 36)
    market.tenant.cancel(contract)
    market.wait_gone(contract)
    # The second term's money goes back to where it came from.
    until("the credit is back", lambda: market.tenant.credit_minor() == before)
    view = market.wait_state(contract, "cancelled")
    assert [int(term.paid.amount_minor) for term in view.terms] == [36, 36]
    assert len(market.machines(contract)) == 1
    market.check_terms(view)
    market.check_books()


def _credit(market: Market) -> int:
    """Return the tenant's credit, earned first by a provider who breaks a contract."""
    if not market.tenant.credit_minor():
        offering = market.offering(penalty_ppm=1_000_000)
        contract = market.tenant.rent(offering, hours=2).id
        market.wait_state(contract, "active")
        market.provider.terminate(contract)
        until("the penalty is paid", lambda: market.tenant.credit_minor() > 36)
        market.wait_gone(contract)
    return market.tenant.credit_minor()


LIVES: tuple[Life, ...] = (
    _rented_and_cancelled,
    _run_out,
    _disputed_and_won,
    _disputed_for_a_day,
    _renewed,
)


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
        passed = _passed(market, offering, life)
        new = [each for each in passed if each not in known]
        looks = [f"{each}#{n}" for n in (1, 2) for each in passed if each.startswith(WATCH_KIND)]
        found[life] = tuple(looks if life is _disputed_and_won else new)
        known.update(passed)
    return found


def _passed(market: Market, offering: OfferingView, life: Life) -> tuple[str, ...]:
    """Return the steps of jobs that a life passes, crons left out: they have a test of their own."""
    before = len(market.server.steps())
    life(market, offering)
    steps = dict.fromkeys(market.server.steps()[before:])
    return tuple(each for each in steps if each.split(":")[1] != "cron")


def _killed_at_each(
    market: Market, offering: OfferingView, life: Life, steps: tuple[str, ...]
) -> None:
    for step in steps:
        with resurrected(market, step) as died:
            life(market, offering)
            assert died.is_set(), f"the server did not pass {step}"


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
    _killed_at_each(market, offering, life, lives[life])


@pytest.mark.postgres
def test_killed_at_every_job_step_of_a_rental_on_postgres(
    tmp_path: Path, postgres_database: Callable[..., str]
) -> None:
    with Market(tmp_path, Shape(database=postgres_database())) as market:
        market.new_agent().start()
        offering = market.offering()
        steps = _passed(market, offering, _rented_and_cancelled)
        assert len(steps) > 5
        _killed_at_each(market, offering, _rented_and_cancelled, steps)


def test_killed_at_every_step_of_its_crons(busy_market: tuple[Market, OfferingView]) -> None:
    market, offering = busy_market
    contract = market.tenant.rent(market.wait_rentable(offering), hours=24).id
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

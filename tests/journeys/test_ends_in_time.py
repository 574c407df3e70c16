"""Invariant 2: whatever ends a contract, its machine is gone within a minute, a stopped one too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, parse_rfc3339
from decent_cloud.wire.v1.contracts import ContractView
from devtools.market import ENDED, Market
from devtools.processes import until

pytestmark = pytest.mark.journey

ALLOWED_MS = MINUTE_MS


def _cancelled(market: Market, contract: str) -> None:
    market.tenant.cancel(contract)


def _terminated(market: Market, contract: str) -> None:
    market.provider.terminate(contract, "the rack is moved")


def _run_out(market: Market, contract: str) -> None:
    market.pass_time(HOUR_MS + MINUTE_MS)
    market.wait_state(contract, "lapsed")
    until("it is stopped", lambda: market.running(contract) == 0)
    market.pass_time(DAY_MS + MINUTE_MS)


def _dispute_lost(market: Market, contract: str) -> None:
    market.pass_time(5_000)
    market.wait_state(contract, "suspended")
    until("it is stopped", lambda: market.running(contract) == 0)
    market.pass_time(MINUTE_MS // 2)


ENDINGS: dict[str, tuple[str, Callable[[Market, str], None]]] = {
    "cancelled": ("test-ok", _cancelled),
    "terminated": ("test-ok", _terminated),
    "run out": ("test-ok", _run_out),
    "dispute lost": ("test-dispute-lost", _dispute_lost),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "polling"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_machine_outlives_its_contract(shared_market: Market, ending: str, stream: bool) -> None:
    """Later: payouts, disputes by a real processor, operator holds."""
    market = shared_market
    card, end = ENDINGS[ending]
    pool = market.provider.new_pool("fake")
    agent = market.new_agent(pool=pool, poll_s=2)
    agent.start(stream=stream)
    contract = market.tenant.rent(market.offering(pool=pool), card=card).id
    market.wait_state(contract, "active")

    end(market, contract)
    view = until("the contract has ended", lambda: _ended(market, contract))
    until("the machine is gone", lambda: market.alive(contract) == 0, timeout_s=ALLOWED_MS / 1_000)

    (machine,) = market.machines(contract)
    # The cloud has the machine's clock, the platform the one that was pushed.
    gone_at_ms = (machine.deleted_at_ms or 0) + market.clock.ahead_ms
    assert gone_at_ms - parse_rfc3339(view.state_since) <= ALLOWED_MS
    market.check_terms(view)
    market.check_books()
    agent.kill()


def _ended(market: Market, contract: str) -> ContractView | None:
    view = market.tenant.contract(contract)
    return view if view.state in ENDED else None

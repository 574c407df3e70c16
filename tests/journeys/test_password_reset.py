"""New passwords from end to end: asked for, made, proven; the agent dies by SIGKILL at every step of it.

In the end exactly one password opens the machine, it is the tenant's newest sealed one, and no file of
platform or agent has ever held it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import asyncssh
import pytest

from decent_cloud.agent import steps
from decent_cloud.kernel.status import ResetState
from decent_cloud.wire.v1.offerings import OfferingView
from decent_cloud.wire.v1.resets import ResetsView, ResetView
from devtools.market import Market
from devtools.processes import AgentProgram, until
from devtools.ssh import run_over_ssh
from tests.support.kept import kept_in

pytestmark = [pytest.mark.journey]

ENDED = frozenset({ResetState.VERIFIED, ResetState.FAILED, ResetState.EXPIRED})
# On a real engine, where each takes longer: the steps around what happens outside.
OUTSIDE = (
    steps.RESET_CALL_JOURNALLED,
    steps.RESET_ANSWERED,
    steps.RESET_APPLIED_ANSWERED,
    steps.LOGIN_ANSWERED,
)


@dataclass(frozen=True, slots=True)
class Stall:
    """An agent with an offering on a market; `seen` are all passwords that the tenant ever opened."""

    market: Market
    agent: AgentProgram
    offering: OfferingView
    seen: set[str] = field(default_factory=set)

    def rent(self) -> str:
        ordered = self.market.tenant.rent(self.offering)
        self.market.wait_state(ordered.id, "active")
        self.password(ordered.id)
        return ordered.id

    def password(self, contract: str) -> str:
        found = self.market.tenant.open_credential(contract).access.password or ""
        self.seen.add(found)
        return found

    def ask(self, contract: str) -> ResetView:
        path = f"/contracts/{contract}/reset-password"
        return self.market.tenant.api.write("POST", path, ResetView)

    def ended(self, asked: ResetView) -> ResetView:
        def look() -> ResetView | None:
            path = f"/contracts/{asked.contract}/resets"
            found = self.market.tenant.api.get(path, ResetsView).items[-1]
            return found if found.id == asked.id and found.state in ENDED else None

        return until("the reset is over", look, 40)

    def works(self, contract: str, password: str) -> bool:
        if self.market.on_fakes:
            (machine,) = self.market.cloud.machines(contract)
            return self.market.cloud.takes_password(machine.id, password)
        access = self.market.tenant.open_credential(contract).access
        try:
            said = run_over_ssh(replace(access, password=password), "echo in")
        except asyncssh.PermissionDenied:
            return False
        return said.strip() == "in"

    def check_no_plaintext(self, contract: str) -> None:
        kept = kept_in(self.market.folder)
        assert contract.encode() in kept, "the search sees what is there"
        assert len(self.seen) > 1
        for secret in self.seen:
            assert secret.encode() not in kept


def _stall(market: Market) -> Stall:
    agent = market.new_agent()
    agent.start()
    return Stall(market, agent, market.offering())


@pytest.fixture(scope="module")
def fakes(shared_market: Market) -> Stall:
    return _stall(shared_market)


@pytest.fixture(scope="module")
def containers(docker_market: Market) -> Stall:
    return _stall(docker_market)


def _reset_well(stall: Stall) -> None:
    contract = stall.rent()
    old = stall.password(contract)
    assert stall.works(contract, old)
    done = stall.ended(stall.ask(contract))
    assert (done.state, done.n) == (ResetState.VERIFIED, 2)
    new = stall.password(contract)
    assert stall.works(contract, new)
    assert not stall.works(contract, old)
    stall.check_no_plaintext(contract)
    stall.market.tenant.cancel(contract)
    stall.market.wait_gone(contract)


def _die_and_converge(stall: Stall, step: str) -> None:
    contract = stall.rent()
    old = stall.password(contract)
    stall.agent.stop()
    stall.agent.start(kill_at=step)
    asked = stall.ask(contract)
    stall.agent.wait_killed()
    stall.agent.start()
    assert stall.ended(asked).state is ResetState.VERIFIED
    new = stall.password(contract)
    assert new != old
    assert stall.works(contract, new)
    assert not stall.works(contract, old)
    stall.check_no_plaintext(contract)
    stall.market.tenant.cancel(contract)
    stall.market.wait_gone(contract)


def test_on_a_fake_cloud_the_new_password_works_and_the_old_one_does_not(fakes: Stall) -> None:
    _reset_well(fakes)


@pytest.mark.docker
def test_on_a_real_engine_the_new_password_logs_in_and_the_old_one_does_not(
    containers: Stall,
) -> None:
    _reset_well(containers)


@pytest.mark.slow
@pytest.mark.parametrize("step", steps.RESET_PATH)
def test_killed_at_any_step_one_password_works_and_the_tenant_has_it(
    fakes: Stall, step: str
) -> None:
    _die_and_converge(fakes, step)


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize("step", OUTSIDE)
def test_killed_around_what_happens_outside_on_a_real_engine(containers: Stall, step: str) -> None:
    _die_and_converge(containers, step)

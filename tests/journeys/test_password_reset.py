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
from decent_cloud.wire.v1.resets import ResetView
from devtools.market import Market
from devtools.ssh import run_over_ssh
from tests.journeys.stall import Stall
from tests.support.kept import kept_in

pytestmark = [pytest.mark.journey]

# On a real engine, where each takes longer: the steps around what happens outside.
OUTSIDE = (
    steps.RESET_CALL_JOURNALLED,
    steps.RESET_ANSWERED,
    steps.RESET_APPLIED_ANSWERED,
    steps.LOGIN_ANSWERED,
)


@dataclass(frozen=True, slots=True)
class PasswordStall(Stall):
    """Where passwords are reset; `seen` are all that the tenant ever opened."""

    seen: set[str] = field(default_factory=set)

    def rent(self) -> str:
        contract = Stall.rent(self)
        self.password(contract)
        return contract

    def password(self, contract: str) -> str:
        found = self.market.tenant.open_credential(contract).access.password or ""
        self.seen.add(found)
        return found

    def ask(self, contract: str) -> ResetView:
        path = f"/contracts/{contract}/reset-password"
        return self.market.tenant.api.write("POST", path, ResetView)

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


@pytest.fixture(scope="module")
def fakes(shared_market: Market) -> PasswordStall:
    return PasswordStall.open(shared_market)


@pytest.fixture(scope="module")
def containers(docker_market: Market) -> PasswordStall:
    return PasswordStall.open(docker_market)


def _reset_well(stall: PasswordStall) -> None:
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


def _die_and_converge(stall: PasswordStall, step: str) -> None:
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


def test_on_a_fake_cloud_the_new_password_works_and_the_old_one_does_not(
    fakes: PasswordStall,
) -> None:
    _reset_well(fakes)


@pytest.mark.docker
def test_on_a_real_engine_the_new_password_logs_in_and_the_old_one_does_not(
    containers: PasswordStall,
) -> None:
    _reset_well(containers)


@pytest.mark.slow
@pytest.mark.parametrize("step", steps.RESET_PATH)
def test_killed_at_any_step_one_password_works_and_the_tenant_has_it(
    fakes: PasswordStall, step: str
) -> None:
    _die_and_converge(fakes, step)


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize("step", OUTSIDE)
def test_killed_around_what_happens_outside_on_a_real_engine(
    containers: PasswordStall, step: str
) -> None:
    _die_and_converge(containers, step)

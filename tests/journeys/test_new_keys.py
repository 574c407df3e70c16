"""New SSH keys from end to end: signed by the tenant, put in by the agent, tried by logins.

The agent dies by SIGKILL at every step of it. In the end the machine takes the newest list, and no old key.
"""

from __future__ import annotations

import asyncssh
import pytest

from decent_cloud.agent import steps
from decent_cloud.client.statements import to_wire
from decent_cloud.domain.keys.key_lists import KeyList, sign_key_list
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.ssh_keys import SshPublicKey
from decent_cloud.kernel.status import ResetState
from decent_cloud.wire.v1.resets import ReplaceKeys, ResetView
from devtools.actors import SshPair, new_ssh_pair
from devtools.market import Market
from devtools.ssh import run_over_ssh
from tests.journeys.stall import Stall

pytestmark = [pytest.mark.journey]

# On a real engine, where each takes longer: the steps around what happens outside.
OUTSIDE = (steps.RESET_CALL_JOURNALLED, steps.RESET_ANSWERED, steps.LOGIN_ANSWERED)


class KeyStall(Stall):
    """Where SSH keys are replaced."""

    __slots__ = ()

    def send(self, contract: str, n: int, *pairs: SshPair) -> ResetView:
        tenant = self.market.tenant
        keys = tuple(sorted((parsed(pair) for pair in pairs), key=SshPublicKey.line))
        digest = Digest(tenant.contract(contract).digest)
        signed = sign_key_list(KeyList(tenant.id, digest, tenant.chain.pin, keys, n), tenant.keys)
        body = ReplaceKeys(statement=to_wire(signed))
        return tenant.api.write("POST", f"/contracts/{contract}/ssh-keys", ResetView, body)

    def opens(self, contract: str, pair: SshPair) -> bool:
        if self.market.on_fakes:
            (machine,) = self.market.cloud.machines(contract)
            return parsed(pair).line() in machine.ssh_keys.splitlines()
        access = self.market.tenant.open_credential(contract).access
        try:
            return run_over_ssh(access, "echo in", pair.private).strip() == "in"
        except asyncssh.PermissionDenied:
            return False


def parsed(pair: SshPair) -> SshPublicKey:
    return SshPublicKey.parse(pair.public)


@pytest.fixture(scope="module")
def fakes(shared_market: Market) -> KeyStall:
    return KeyStall.open(shared_market)


@pytest.fixture(scope="module")
def containers(docker_market: Market) -> KeyStall:
    return KeyStall.open(docker_market)


def _rotate_well(stall: KeyStall) -> None:
    contract = stall.rent()
    old, new, other = stall.market.tenant.ssh, new_ssh_pair(), new_ssh_pair()
    assert stall.opens(contract, old)
    assert stall.ended(stall.send(contract, 1, new, other)).state is ResetState.VERIFIED
    assert stall.opens(contract, new)
    assert stall.opens(contract, other)
    assert not stall.opens(contract, old)
    assert stall.ended(stall.send(contract, 2, other)).state is ResetState.VERIFIED
    assert stall.opens(contract, other)
    assert not stall.opens(contract, new)
    stall.market.tenant.cancel(contract)
    stall.market.wait_gone(contract)


def _die_and_converge(stall: KeyStall, step: str) -> None:
    contract = stall.rent()
    old, new = stall.market.tenant.ssh, new_ssh_pair()
    stall.agent.stop()
    stall.agent.start(kill_at=step)
    asked = stall.send(contract, 1, new)
    stall.agent.wait_killed()
    stall.agent.start()
    assert stall.ended(asked).state is ResetState.VERIFIED
    assert stall.opens(contract, new)
    assert not stall.opens(contract, old)
    stall.market.tenant.cancel(contract)
    stall.market.wait_gone(contract)


def test_on_a_fake_cloud_the_new_keys_open_and_the_old_one_does_not(fakes: KeyStall) -> None:
    _rotate_well(fakes)


@pytest.mark.docker
def test_on_a_real_engine_the_new_keys_log_in_and_the_old_one_does_not(
    containers: KeyStall,
) -> None:
    _rotate_well(containers)


@pytest.mark.slow
@pytest.mark.parametrize("step", steps.RESET_PATH)
def test_killed_at_any_step_the_newest_list_opens_and_no_other_key(
    fakes: KeyStall, step: str
) -> None:
    _die_and_converge(fakes, step)


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize("step", OUTSIDE)
def test_killed_around_what_happens_outside_on_a_real_engine(
    containers: KeyStall, step: str
) -> None:
    _die_and_converge(containers, step)

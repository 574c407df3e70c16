"""The main job on a real container engine: a machine that answers SSH with the host key that was signed."""

from __future__ import annotations

from dataclasses import replace

import asyncssh
import pytest

from decent_cloud.kernel.clock import MINUTE_MS
from devtools.market import Market
from devtools.processes import until
from devtools.ssh import run_over_ssh
from tests.journeys import convergence

pytestmark = [pytest.mark.journey, pytest.mark.docker]


def test_a_container_is_rented_used_cancelled_and_settled(docker_market: Market) -> None:
    """Later: other backends through the same journey."""
    market = docker_market
    agent = market.new_agent()
    agent.start()
    offering = market.offering()

    ordered = market.tenant.rent(offering, hours=2)
    active = market.wait_state(ordered.id, "active")
    access = market.tenant.open_credential(ordered.id).access
    said = run_over_ssh(access, "uname -s; id -un; hostname", market.tenant.ssh.private)
    assert said.split() == ["Linux", "root", f"dc-{ordered.id}"]
    assert run_over_ssh(access, "echo $((6 * 7))").strip() == "42"
    assert access.host_keys == active.host_keys

    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        run_over_ssh(replace(access, host_keys=(market.tenant.ssh.public,)), "true")
    with pytest.raises(asyncssh.PermissionDenied):
        run_over_ssh(replace(access, password="not the password"), "true")

    market.pass_time(30 * MINUTE_MS)
    market.tenant.cancel(ordered.id)
    ended = convergence.gone(market, market.tenant, ordered.id)

    (term,) = ended.terms
    assert int(term.released.amount_minor) + int(term.fee.amount_minor) == 18
    assert market.paid_back_minor(ordered.id) == (72, 54)
    assert market.made(ordered.id) == 1
    until("the agent has nothing left", lambda: not market.containers.networks(ordered.id))
    assert agent.stop() == 0

"""A whole agent whose rules would remove too much at once: it stops, says so, and waits for people."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from decent_cloud.agent.breaker import ALARM_BREAKER
from decent_cloud.agent.plan import SILENT_DESTROY_MS
from decent_cloud.agent.records import Stage
from decent_cloud.agent.situation import Standing
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.programs.agent import cli
from decent_cloud.programs.server import Ports
from tests.agent.rig import Rig, eventually, rig_for, running
from tests.agent.turned_clock import TurnedClock
from tests.support.market import OpenDoor, publish, rent, until
from tests.support.people import Person, Shop, new_person, new_shop
from tests.support.platform import running_platform

pytestmark = pytest.mark.slow

COUNT = 3


def rented(tmp_path: Path) -> tuple[Rig, list[str]]:
    """Machines of a platform that does not run any more."""
    with running_platform(tmp_path / "platform", Ports(reach=OpenDoor())) as platform:
        shop, tenant = new_shop(platform.url), new_person(platform.url)
        rig = rig_for(shop, platform.url, tmp_path / "agent")
        rig.clock = TurnedClock()
        with running(rig) as agent:
            offering = publish(shop)
            contracts = [rent(tenant, offering)["id"] for _ in range(COUNT)]
            for contract in contracts:
                until(tenant, contract, "active")
                rig.reaches(contract, Stage.BOUND)
            journal = agent.work.journal
            eventually(lambda: all(w.paid_until_ms for w in journal.wants()))
    return rig, contracts


def config(rig: Rig, tmp_path: Path) -> str:
    path = tmp_path / "agent.toml"
    lines = [f'platform = "{rig.url}"', f'data_dir = "{rig.folder}"', 'driver = "fake"']
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_pass_that_would_remove_everything_waits_for_a_person(tmp_path: Path) -> None:
    rig, contracts = rented(tmp_path)
    assert isinstance(rig.clock, TurnedClock)
    rig.clock.ahead_ms = SILENT_DESTROY_MS + 31 * 24 * 3_600_000
    with running(rig) as agent:
        eventually(lambda: agent.desired.standing is Standing.SILENT)
        alarms = eventually(
            lambda: [a for a in agent.work.journal.alarms() if a.name == ALARM_BREAKER]
        )
        assert f"{COUNT} of {COUNT}" in alarms[0].text
        time.sleep(2.5)  # some passes more
        assert len(rig.backend.machines()) == COUNT
        assert rig.backend.calls(Verb.DESTROY) == ()
        command = ["--config", config(rig, tmp_path), "--json", "release-breaker"]
        asked = CliRunner().invoke(cli, command)
        assert json.loads(asked.stderr)["error"]["code"] == "invalid"
        released = CliRunner().invoke(cli, [*command, "--yes"])
        assert sorted(json.loads(released.output)["released"]) == sorted(contracts)
        agent.waker.ready(agent.desired.contracts())
        eventually(lambda: not rig.backend.machines())
        assert ALARM_BREAKER not in {a.name for a in agent.work.journal.alarms()}


def test_tenants_may_all_cancel_at_once(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig) as agent:
        offering = publish(shop)
        contracts = [rent(tenant, offering)["id"] for _ in range(COUNT)]
        for contract in contracts:
            until(tenant, contract, "active")
        for contract in contracts:
            assert tenant.api.post(f"/contracts/{contract}/cancel", {"reason": ""}).is_success
        for contract in contracts:
            rig.reaches(contract, Stage.ENDED)
        assert rig.backend.machines() == ()
        assert agent.work.journal.alarms() == ()

"""An emptied, foreign or rolled-back platform moves nothing here, and a silent one ends nothing early."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from decent_cloud.agent.daemon import Agent
from decent_cloud.agent.desired import ALARM_DISTRUST, ALARM_SILENT
from decent_cloud.agent.journal import LOG_SEQ
from decent_cloud.agent.plan import SILENT_DESTROY_MS, SILENT_STOP_MS
from decent_cloud.agent.records import Stage
from decent_cloud.agent.situation import Standing
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.programs.server import Ports
from tests.agent.rig import Rig, eventually, rig_for, running
from tests.agent.turned_clock import TurnedClock
from tests.support.market import OpenDoor, publish, rent, until
from tests.support.people import Person, Shop, new_person, new_shop
from tests.support.platform import running_platform

pytestmark = pytest.mark.slow


@dataclass(slots=True)
class Rented:
    """A machine that is rented out, and the folder of its platform, which does not run now."""

    rig: Rig
    platform: Path
    shop: Shop
    tenant: Person
    contract: str

    def untouched(self) -> bool:
        backend = self.rig.backend
        machines = backend.machines(self.contract)
        return (
            len(machines) == 1
            and not machines[0].stopped
            and not backend.calls(Verb.DESTROY)
            and not backend.calls(Verb.STOP)
        )


def serve(folder: Path) -> contextlib.AbstractContextManager[object]:
    return running_platform(folder, Ports(reach=OpenDoor()))


@pytest.fixture
def rented(tmp_path: Path) -> Iterator[Rented]:
    folder = tmp_path / "platform"
    with running_platform(folder, Ports(reach=OpenDoor())) as platform:
        shop, tenant = new_shop(platform.url), new_person(platform.url)
        rig = rig_for(shop, platform.url, tmp_path / "agent")
        rig.clock = TurnedClock()
        with running(rig):
            contract = rent(tenant, publish(shop))["id"]
            until(tenant, contract, "active")
            rig.reaches(contract, Stage.BOUND)
            # The agent has heard how long it is paid for.
            eventually(
                lambda: [w for w in rig.agent.work.journal.wants() if w.paid_until_ms]  # type: ignore[union-attr]
            )
    made = Rented(rig, folder, shop, tenant, contract)
    yield made
    rig.stop()


def move_in(rented: Rented, url: str) -> None:
    """Point agent and people at a platform that runs elsewhere now."""
    rented.rig.url = url
    rented.shop.owner.url = rented.tenant.url = url


def _alarms(agent: Agent) -> dict[str, str]:
    return {alarm.name: alarm.text for alarm in agent.work.journal.alarms()}


def distrusts(rented: Rented, words: str) -> None:
    rig = rented.rig
    with running(rig) as agent:
        eventually(lambda: agent.desired.standing is Standing.DISTRUSTED)
        eventually(lambda: words in _alarms(agent).get(ALARM_DISTRUST, ""))
        time.sleep(2.5)  # some passes and surveys more
        assert agent.desired.standing is Standing.DISTRUSTED
        assert rented.untouched()
        assert rig.stage(rented.contract) is Stage.BOUND


def test_an_emptied_platform_moves_nothing(rented: Rented, tmp_path: Path) -> None:
    emptied = tmp_path / "emptied"
    emptied.mkdir()
    for name in ("platform.key", "master.key"):
        shutil.copy2(rented.platform / name, emptied / name)
    with running_platform(emptied, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        distrusts(rented, "refuses this agent")


def test_a_foreign_platform_moves_nothing(rented: Rented, tmp_path: Path) -> None:
    with running_platform(tmp_path / "foreign", Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        distrusts(rented, "refuses this agent")


def test_a_platform_with_another_key_moves_nothing(rented: Rented, tmp_path: Path) -> None:
    """The same database under a new key: it knows us, and is not who we registered with."""
    with running_platform(rented.platform, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        journal = rented.rig.journal()
        other = running_platform(tmp_path / "foreign", Ports(reach=OpenDoor()))
        with other as foreign:
            journal.set_facts({"platform_key": _key(foreign.url)})
        journal.close()
        distrusts(rented, "not signed by the platform we registered with")


def _key(url: str) -> str:
    from tests.support.people import Api

    return str(Api(url).get("/platform").json()["key"])


def test_a_rolled_back_platform_moves_nothing_also_when_it_has_moved_on(
    rented: Rented, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(rented.platform, snapshot)
    rig = rented.rig
    with running_platform(rented.platform, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        shop = _moved(rented.shop, platform.url)
        tenant = _moved_person(rented.tenant, platform.url)
        with running(rig):
            second = rent(tenant, publish(shop, title="another"))["id"]
            until(tenant, second, "active")
            rig.reaches(second, Stage.BOUND)
            eventually(lambda: int(rig.agent.work.journal.fact(LOG_SEQ)) > 2)  # type: ignore[union-attr]
            pinned = int(rig.agent.work.journal.fact(LOG_SEQ))  # type: ignore[union-attr]
    with running_platform(snapshot, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        distrusts(rented, "rolled back")
        shop = _moved(rented.shop, platform.url)
        tenant = _moved_person(rented.tenant, platform.url)
        offering = publish(shop, title="third")
        for _ in range(pinned):
            rent(tenant, offering)
        distrusts(rented, "another one at entry")
        assert len(rig.backend.machines()) == 2


def _moved(shop: Shop, url: str) -> Shop:
    owner = _moved_person(shop.owner, url)
    return Shop(owner, shop.pool, shop.agent_keys, owner.api_of(shop.agent_keys))


def _moved_person(person: Person, url: str) -> Person:
    return Person(url, person.keys, person.recovery, person.seed, person.chain)


def turn(rented: Rented, ahead_ms: int) -> None:
    """Turn the clock so that the paid time ended `ahead_ms` ago."""
    clock = rented.rig.clock
    assert isinstance(clock, TurnedClock)
    journal = rented.rig.journal()
    paid_until_ms = journal.wants()[0].paid_until_ms
    journal.close()
    clock.ahead_ms = 0
    clock.ahead_ms = paid_until_ms + ahead_ms - clock.now_ms()


def test_a_silent_platform_ends_nothing_before_its_time(rented: Rented) -> None:
    turn(rented, SILENT_STOP_MS - HOUR_MS)
    with running(rented.rig) as agent:
        eventually(lambda: agent.desired.standing is Standing.SILENT)
        time.sleep(2.5)
        assert rented.untouched()
        assert ALARM_SILENT in {alarm.name for alarm in agent.work.journal.alarms()}


def test_under_a_silent_platform_machines_stop_a_day_after_the_paid_time(rented: Rented) -> None:
    turn(rented, SILENT_STOP_MS + 1_000)
    with running(rented.rig) as agent:
        eventually(lambda: agent.desired.standing is Standing.SILENT)
        eventually(lambda: rented.rig.backend.machines(rented.contract)[0].stopped)
        time.sleep(1.5)
        assert rented.rig.backend.calls(Verb.DESTROY) == ()
        assert rented.rig.stage(rented.contract) is Stage.BOUND


def test_and_are_removed_a_week_after_it_and_the_platform_is_told_when_it_is_back(
    rented: Rented,
) -> None:
    turn(rented, SILENT_DESTROY_MS + 1_000)
    rig = rented.rig
    with running(rig) as agent:
        eventually(lambda: not rig.backend.machines(rented.contract))
        rig.reaches(rented.contract, Stage.GONE)
        assert [each.key for each in agent.work.journal.reports()] != []
    turned = rig.clock
    assert isinstance(turned, TurnedClock)
    turned.ahead_ms = 0
    with running_platform(rented.platform, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        with running(rig) as agent:
            rig.reaches(rented.contract, Stage.ENDED)
            assert agent.work.journal.reports() == ()
        tenant = _moved_person(rented.tenant, platform.url)
        assert until(tenant, rented.contract, "failed", "completed", "lapsed")["state"]


def test_a_platform_that_is_back_is_obeyed_again(rented: Rented) -> None:
    rig = rented.rig
    with running(rig) as agent:
        eventually(lambda: agent.desired.standing is Standing.SILENT)
        assert rented.untouched()
    with running_platform(rented.platform, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        with running(rig) as agent:
            eventually(lambda: agent.desired.standing is Standing.TRUSTED)
            tenant = _moved_person(rented.tenant, platform.url)
            assert tenant.api.post(
                f"/contracts/{rented.contract}/cancel", {"reason": ""}
            ).is_success
            rig.reaches(rented.contract, Stage.ENDED)
            assert agent.work.journal.alarms() == ()
            assert rig.backend.machines(rented.contract) == ()


def test_what_silence_began_to_remove_stays_if_the_platform_is_back_in_time(
    rented: Rented,
) -> None:
    turn(rented, SILENT_DESTROY_MS + 1_000)
    rig = rented.rig
    rig.backend.fail_next(Verb.DESTROY, Fault.TRY_LATER, 50)
    with running(rig):
        rig.reaches(rented.contract, Stage.DESTROYING)
    assert len(rig.backend.machines(rented.contract)) == 1
    assert isinstance(rig.clock, TurnedClock)
    rig.clock.ahead_ms = 0
    with running_platform(rented.platform, Ports(reach=OpenDoor())) as platform:
        move_in(rented, platform.url)
        with running(rig):
            rig.reaches(rented.contract, Stage.BOUND)
            assert len(rig.backend.machines(rented.contract)) == 1

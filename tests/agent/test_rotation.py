"""A new key for an agent: machines and journal stay, and what is cut off is run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.keys import load_keys, make_keys, rotate_keys
from decent_cloud.agent.records import Change, Stage
from decent_cloud.agent.situation import Standing
from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.programs.agent import cli
from tests.agent.records import CONTRACT, instance
from tests.agent.rig import Rig, eventually, running
from tests.support.market import publish, rent, until
from tests.support.people import ALL_PERMISSIONS, Person, Shop, delegate


def call(folder: Path) -> Result:
    path = folder / "agent.toml"
    lines = ['platform = "http://127.0.0.1:9"', f'data_dir = "{folder}"', 'driver = "fake"']
    path.write_text("\n".join(lines) + "\n")
    return CliRunner().invoke(cli, ["--config", str(path), "--json", "rotate-key"])


def test_the_new_key_is_in_place_and_the_old_one_beside_it(tmp_path: Path) -> None:
    old = make_keys(tmp_path / "device.key")
    shown = json.loads(call(tmp_path).output)
    new = load_keys(tmp_path / "device.key")
    assert shown == {"old": old.kid, "agent": new.kid}
    assert new.kid != old.kid
    assert load_keys(tmp_path / f"device.key.{old.kid}").kid == old.kid


def test_it_is_refused_while_machines_are_made(tmp_path: Path) -> None:
    old = make_keys(tmp_path / "device.key")
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.commit(Change(instance(Stage.STARTED)))
    journal.close()
    found = call(tmp_path)
    assert found.exit_code != 0
    error = json.loads(found.stderr)["error"]
    assert error["code"] == "work_under_way"
    assert CONTRACT in error["message"]
    assert load_keys(tmp_path / "device.key").kid == old.kid


@pytest.mark.parametrize("moved", [False, True], ids=["made", "old one moved"])
def test_cut_off_it_is_run_again(tmp_path: Path, moved: bool) -> None:
    path = tmp_path / "device.key"
    old, ready = make_keys(path), make_keys(tmp_path / "device.key.next")
    if moved:
        path.rename(tmp_path / f"device.key.{old.kid}")
    _, new = rotate_keys(path)
    assert new.kid == ready.kid == load_keys(path).kid
    assert load_keys(tmp_path / f"device.key.{old.kid}").kid == old.kid


def test_machines_go_on_under_the_new_key(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig) as agent:
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
    rig.keys = make_keys(rig.folder / "device.key")
    with running(rig) as agent:  # nobody took the new key in yet: nothing is touched
        eventually(lambda: agent.desired.standing is Standing.DISTRUSTED)
        assert rig.stage(id_) is Stage.BOUND
    added = shop.owner.add_device(rig.keys, DeviceType.AGENT, Rank.READER)
    assert added.status_code == 201
    new = Shop(shop.owner, shop.pool, rig.keys, shop.owner.api_of(rig.keys))
    assert delegate(new, ALL_PERMISSIONS).status_code == 201
    with running(rig) as agent:
        eventually(lambda: agent.desired.standing is Standing.TRUSTED)
        assert len(rig.backend.machines(id_)) == 1
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        rig.reaches(id_, Stage.ENDED)
        assert rig.backend.machines() == ()

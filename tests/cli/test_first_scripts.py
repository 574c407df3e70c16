"""First scripts on the command line: offered from a file, shown before one rents, their log opened afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.domain.keys.first_scripts import script_hash
from tests.agent.rig import Rig, rig_for, running
from tests.cli.conftest import Desk
from tests.cli.test_resets import CARD, rented
from tests.cli.test_resets import shop as _shop
from tests.support.market import heartbeat
from tests.support.people import Shop
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

TEXT = "#!/bin/sh\necho hello\n"
shop = _shop


@pytest.fixture
def rig(platform: Platform, shop: Shop, tmp_path: Path) -> Iterator[Rig]:
    made = rig_for(shop, platform.url, tmp_path / "agent")
    yield made
    made.stop()


def written(tmp_path: Path, shop: Shop, extra: str) -> str:
    (tmp_path / "setup.sh").write_text(TEXT)
    file = tmp_path / "small.toml"
    file.write_text(
        f'title = "Small"\nkind = "container"\npool = "{shop.pool}"\nimage = "tiny"\ncpu = 0.5\n'
        'memory_mib = 128\ndisk_gib = 0\ncountry = "CH"\nprice_per_hour = 0.05\nasset = "USD"\n'
        f"stock = 5\n{extra}\n"
    )
    return str(file)


def test_an_offering_gets_its_script_from_a_file_and_keeps_it_over_updates(
    provider: Desk, tenant: Desk, shop: Shop, tmp_path: Path
) -> None:
    file = written(tmp_path, shop, 'first_script_file = "setup.sh"\nfirst_script_timeout_s = 90')
    assert heartbeat(shop).status_code == 200
    made = provider.run("offering", "create", "--file", file, "--publish")
    assert made["first_script"] == {
        "kind": "script",
        "sha256": script_hash(TEXT),
        "timeout_s": 90,
        "on_failure": "hand_over",
    }
    id_ = made["id"]
    changed = provider.run("offering", "update", id_, "--stock", "7")
    assert (changed["state"], changed["first_script_text"]) == ("published", TEXT)
    seen = tenant.run("offering", "show", id_)
    assert (seen["first_script"], seen["first_script_text"]) == (made["first_script"], None)
    shown = tenant.show("offering", "show", id_)
    assert script_hash(TEXT) in shown
    assert "even if it fails" in shown
    none = provider.run("offering", "update", id_, "--first-script-file", "")
    assert (none["state"], none["first_script"]) == ("draft", None)


def test_what_cannot_be_a_script_is_refused(provider: Desk, shop: Shop, tmp_path: Path) -> None:
    missing = written(tmp_path, shop, 'first_script_file = "none.sh"')
    assert provider.refused(5, "offering", "create", "--file", missing)["code"] == "not_found"
    both = written(tmp_path, shop, 'first_script_file = "setup.sh"\nfirst_script = "#!/bin/sh"')
    assert provider.refused(2, "offering", "create", "--file", both)["code"] == "invalid"
    odd = written(tmp_path, shop, 'first_script = "echo hello"')
    assert provider.refused(2, "offering", "create", "--file", odd)["code"] == "invalid"
    (tmp_path / "setup.sh").write_bytes(b"#!\xff")
    bytes_ = written(tmp_path, shop, 'first_script_file = "bytes.sh"')
    (tmp_path / "bytes.sh").write_bytes(b"#!\xff")
    assert provider.refused(2, "offering", "create", "--file", bytes_)["code"] == "invalid"


def test_a_tenant_is_told_before_and_reads_the_log_afterwards(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str
) -> None:
    rig.backend.change(first_exit=4, first_output="one\ttwo\x1b[2J\nthree")
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key, first_script=TEXT)
        found = tenant.run("creds", "log", contract)
        assert (found["outcome"], found["exit_code"]) == ("exited", 4)
        assert found["output"] == "one\ttwo\x1b[2J\nthree"
        shown = tenant.show("creds", "log", contract)
        assert "exit code 4" in shown
        assert "three" in shown
        assert "\x1b" not in shown
        offering = tenant.run("contracts", "show", contract)["offering"]
        asked = tenant.try_("rent", offering, "--hours", "2", "--ssh-key", ssh_key, *CARD, "--yes")
        assert f"SHA-256 {script_hash(TEXT)}" in asked.stderr


def test_without_one_there_is_no_log(rig: Rig, shop: Shop, tenant: Desk, ssh_key: str) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        assert "runs none" in json.dumps(tenant.refused(5, "creds", "log", contract))

"""The `dc-agent` command: words for people, JSON for programs, exit codes by kind."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from decent_cloud.agent.journal import SCOPE
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.keys import KeyFileUnsafe, load_keys, make_keys
from decent_cloud.agent.records import Alarm, Change, Stage
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.kernel.errors import AlreadyExists
from decent_cloud.programs.agent import cli
from tests.agent.records import CONTRACT, NOW, instance, report, want
from tests.agent.rig import Rig
from tests.support.market import publish, rent, until
from tests.support.people import ALL_PERMISSIONS, Person, Shop, delegate

pytestmark = pytest.mark.slow


def config(tmp_path: Path, **changed: object) -> Path:
    fields: dict[str, object] = {
        "platform": "http://127.0.0.1:1",
        "data_dir": str(tmp_path / "data"),
        "driver": "fake",
        "public_host": "127.0.0.1",
        **changed,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    driver = {"path": str(tmp_path / "cloud.db"), "first_port": 21_000, "last_port": 21_009}
    lines += ["[driver_settings]", *(f"{k} = {json.dumps(v)}" for k, v in driver.items())]
    path = tmp_path / "agent.toml"
    path.write_text("\n".join(lines))
    return path


def call(path: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(path), *words])


def test_init_makes_a_key_once_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = config(tmp_path)
    first = json.loads(call(path, "init", "--json").output)
    second = json.loads(call(path, "init", "--json").output)
    assert (first["made"], second["made"]) == (True, False)
    assert first["agent"] == second["agent"]
    key = tmp_path / "data/device.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().strip() not in call(path, "init").output


def test_a_key_is_never_overwritten_and_an_open_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "d/device.key"
    made = make_keys(path)
    with pytest.raises(AlreadyExists):
        make_keys(path)
    assert load_keys(path).kid == made.kid
    assert [each.name for each in path.parent.iterdir()] == ["device.key"]
    path.chmod(0o644)
    with pytest.raises(KeyFileUnsafe, match="chmod 600"):
        load_keys(path)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status",), 5, "dc-agent init"),
        (("register", "ABC"), 5, "dc-agent init"),
        (("run",), 5, "dc-agent init"),
    ],
)
def test_without_a_key_every_command_says_how_to_make_one(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    found = call(config(tmp_path), *words)
    assert found.exit_code == code
    assert said in found.stderr


def test_errors_are_json_where_a_program_asked(tmp_path: Path) -> None:
    found = call(tmp_path / "none.toml", "--json", "status")
    assert found.exit_code == 5
    assert json.loads(found.stderr)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"nonsense": 1}, "nonsense"),
        ({"platform": "cloud.example"}, "platform address"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    path = config(tmp_path)
    call(path, "init")
    found = call(config(tmp_path, **changed), "register", "7KQF2-M9XPD-3AWZ6-T8RHC")
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_wrong_code_is_a_key_refusal(tmp_path: Path) -> None:
    path = config(tmp_path)
    call(path, "init")
    assert call(path, "register", "ABC").exit_code == 3


def test_an_unregistered_agent_does_not_run(tmp_path: Path) -> None:
    path = config(tmp_path)
    call(path, "init")
    found = call(path, "run")
    assert found.exit_code == 2
    assert "dc-agent register" in found.stderr


def test_doctor_names_a_cure_for_all_that_fails(tmp_path: Path) -> None:
    path = config(tmp_path)
    call(path, "init")
    found = call(path, "doctor", "--json")
    assert found.exit_code == 1
    checks = {check["name"]: check for check in json.loads(found.output)["checks"]}
    assert not checks["platform"]["passed"]
    assert all(check["cure"] for check in checks.values() if not check["passed"])
    assert checks["backend"]["passed"]
    assert "FAIL  platform" in call(path, "doctor").output


def test_doctor_is_content_with_a_registered_agent(rig: Rig, tmp_path: Path) -> None:
    rig.journal().close()
    (tmp_path / "agent/device.key").write_text(_seed_of(rig))
    (tmp_path / "agent/device.key").chmod(0o600)
    path = config(tmp_path, platform=rig.url, data_dir=str(rig.folder))
    found = call(path, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(found.output)["checks"]}
    assert checks["registration"]["passed"]
    assert checks["clock"]["passed"]
    # Another key than the provider took in: named, with the cure.
    assert not checks["delegation"]["passed"]
    assert "decent agents approve" in checks["delegation"]["cure"]


def _seed_of(_rig: Rig) -> str:
    return "07" * 32 + "\n"


def test_status_shows_what_waits_and_what_is_wrong(tmp_path: Path) -> None:
    path = config(tmp_path)
    call(path, "init")
    journal = SqliteJournal(tmp_path / "data/journal.db")
    journal.set_facts({SCOPE: "fake-1"})
    journal.record_desired({}, [want()])
    failing = instance(Stage.REPORTING, host="h", port=2201, last_error="code: text", tries=2)
    journal.commit(Change(failing, reports=(report("r1", tries=3),)))
    journal.raise_alarm(Alarm("platform_silent", "no answer", NOW))
    journal.close()
    shown = json.loads(call(path, "status", "--json").output)
    assert shown["instances"][0]["contract"] == CONTRACT
    assert shown["instances"][0]["address"] == "h:2201"
    assert shown["reports"][0]["tries"] == 3
    assert shown["alarms"][0]["name"] == "platform_silent"
    text = call(path, "status").output
    assert "ALARM     platform_silent" in text
    assert "code: text" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(tmp_path: Path, shell: str) -> None:
    found = call(config(tmp_path), "completion", shell)
    assert found.exit_code == 0
    assert "dc-agent" in found.output


def test_every_command_has_an_example() -> None:
    for name, command in cli.commands.items():
        assert f"dc-agent {name}" in (command.help or "") or "dc-agent" in (command.help or "")


def test_the_program_works_as_a_process_and_ends_in_order(
    rig: Rig, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    rig.journal().close()
    seed = secrets.token_bytes(32)
    keys = DeviceKeys(seed)
    assert shop.owner.add_device(keys, DeviceType.AGENT, Rank.READER).status_code == 201
    mine = Shop(shop.owner, shop.pool, keys, shop.owner.api_of(keys))
    assert delegate(mine, ALL_PERMISSIONS).status_code == 201
    key = rig.folder / "device.key"
    key.touch(mode=0o600)
    key.write_text(seed.hex())
    path = config(tmp_path, platform=rig.url, data_dir=str(rig.folder), poll_s=1)
    command = [sys.executable, "-m", "decent_cloud.programs.agent", "--config", str(path), "run"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        id_ = rent(tenant, publish(mine))["id"]
        until(tenant, id_, "active", timeout_s=30)
        shown = json.loads(call(path, "status", "--json").output)
        assert [each["contract"] for each in shown["instances"]] == [id_]
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
    text = (tmp_path / "log").read_text()
    assert "agent ended" in text
    assert "Traceback" not in text
    assert seed.hex() not in text


def test_a_second_agent_in_one_folder_is_refused(tmp_path: Path) -> None:
    import fcntl

    path = config(tmp_path)
    call(path, "init")
    with (tmp_path / "data/agent.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = call(path, "run")
    assert found.exit_code == 6
    assert "another agent works" in found.stderr

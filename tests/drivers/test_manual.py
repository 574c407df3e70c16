"""The manual driver keeps the kit with a person who does what is asked, and tells the person what that is."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.specs import handle_of, new_contract, new_spec
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    Broken,
    Handle,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.manual.driver import ManualDriver
from decent_cloud.drivers.manual.requests import Request, Step
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import Observed
from decent_cloud.programs.agent import cli
from tests.drivers.manual_rig import ManualRig
from tests.support.kept import kept_in


@pytest.fixture
def rig(tmp_path: Path) -> ManualRig:
    return ManualRig(tmp_path)


class TestManualDriver(ConformanceSuite):
    """Runs the kit."""


def test_what_a_person_cannot_make_fails_with_their_reason(rig: ManualRig) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    rig.requests.fail(spec.contract, "the board did not arrive")
    read = rig.driver().inspect(handle_of(made), spec.contract)
    assert (read.state, read.detail) == (Observed.ABSENT, "the board did not arrive")
    with pytest.raises(Rejected, match="did not arrive"):
        rig.driver().create(spec)
    assert rig.driver().list_owned() == ()


def test_no_more_is_asked_for_than_the_settings_allow(rig: ManualRig) -> None:
    driver = rig.driver(capacity=1)
    spec = new_spec(rig)
    driver.create(spec)
    assert driver.create(spec).state is Observed.CREATING
    with pytest.raises(NoCapacity):
        driver.create(new_spec(rig))


def test_many_agents_at_once_ask_once(rig: ManualRig) -> None:
    spec = new_spec(rig)
    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(lambda _: rig.driver().create(spec), range(6)))
    assert len({each.handle.data["request"] for each in made if each.handle}) == 1
    assert rig.count(spec.contract) == 1


def test_secrets_are_not_in_the_file_and_erased_when_the_machine_runs(rig: ManualRig) -> None:
    spec = new_spec(rig)
    rig.driver().create(spec)
    private, hashed = rig.requests.secrets_of(spec.contract, rig.requests.key_file)
    assert private.reveal().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert hashed.reveal().startswith("$6$")
    kept = kept_in(rig.path.parent)
    for secret in (spec.password.reveal(), private.reveal()[60:100], "OPENSSH PRIVATE"):
        assert secret.encode() not in kept
    assert rig.requests.key_file.stat().st_mode & 0o077 == 0
    rig.wait(0)
    with pytest.raises(Exception, match="erased"):
        rig.requests.secrets_of(spec.contract, rig.requests.key_file)
    with sqlite3.connect(rig.path) as db:
        assert db.execute("SELECT sealed, password_hash FROM requests").fetchall() == [("", "")]


def test_a_damaged_file_is_broken_and_an_absent_folder_is_tried_later(tmp_path: Path) -> None:
    damaged = tmp_path / "requests.db"
    damaged.write_bytes(b"not a database, by far" * 100)
    with pytest.raises(Broken):
        ManualDriver.from_settings({"path": str(damaged)}, "p").list_owned()
    driver = ManualDriver.from_settings({"path": str(tmp_path / "no/requests.db")}, "p")
    with pytest.raises(TryLater):
        driver.list_owned()
    probe = driver.probe()
    assert not probe.passed
    assert probe.checks[0].cure


def test_another_file_has_another_fingerprint(rig: ManualRig, tmp_path: Path) -> None:
    made = rig.driver().create(new_spec(rig))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = ManualRig(elsewhere)
    read = again.driver().inspect(handle_of(made), made.contract)
    assert read.state is Observed.ABSENT
    assert read.scope != made.scope


def test_a_handle_that_is_not_ours_is_broken(rig: ManualRig) -> None:
    with pytest.raises(Broken):
        rig.driver().inspect(Handle("manual", {"name": "x"}), new_contract())


def hook(tmp_path: Path, text: str) -> str:
    path = tmp_path / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def eventually(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_program_is_told_of_each_request_once_and_without_secrets(
    rig: ManualRig, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    driver = rig.driver(on_change=[hook(tmp_path, f"cat >> {said}")])
    spec = new_spec(rig)
    made = driver.create(spec)
    eventually(lambda: rig.requests.all()[0].told)
    driver.list_owned()
    driver.destroy(handle_of(made), spec.contract)
    eventually(lambda: rig.requests.all()[0].told)
    first, second = (json.loads(line) for line in said.read_text().splitlines())
    assert (first["event"], first["contract"]) == ("asked", spec.contract)
    assert first["wanted"]["ssh_keys"] == [key.line() for key in spec.ssh_keys]
    assert f"dc-agent manual complete {spec.contract}" in first["to_do"]
    assert second["event"] == "removal_asked"
    for secret in (spec.password.reveal(), spec.host_key.seed_hex.reveal(), "$6$"):
        assert secret not in said.read_text()


def test_a_program_that_fails_leaves_the_request_untold(rig: ManualRig, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    driver = rig.driver(on_change=[hook(tmp_path, f"echo x >> {tried}; exit 1")])
    driver.create(new_spec(rig))
    eventually(tried.exists)
    assert not rig.requests.all()[0].told
    later = rig.driver(on_change=[hook(tmp_path, "exit 0")])
    later.list_owned()
    eventually(lambda: rig.requests.all()[0].told)


# At the command line.


class Person:
    def __init__(self, folder: Path) -> None:
        self.rig = ManualRig(folder)
        self.config = folder / "agent.toml"
        self.config.write_text(
            f'platform = "http://127.0.0.1:1"\ndata_dir = "{folder}"\ndriver = "manual"\n'
            f'[driver_settings]\npath = "{self.rig.path}"\n'
        )

    def says(self, *words: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(self.config), "manual", *words])

    def reads(self, *words: str) -> Any:
        result = self.says(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def ask(self) -> Request:
        spec = new_spec(self.rig)
        self.rig.driver().create(spec)
        return self.rig.requests.newest(spec.contract)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def test_a_person_completes_and_removes_at_the_command_line(person: Person) -> None:
    asked = person.ask()
    assert asked.contract in person.says("list").output
    done = person.reads(
        "complete", asked.contract, "--host", "192.0.2.7", "--host-key", asked.host_key
    )
    assert (done["step"], done["port"], done["to_do"]) == ("running", 22, "")
    (seen,) = person.rig.driver().list_owned()
    assert (seen.state, seen.host, seen.port) == (Observed.RUNNING, "192.0.2.7", 22)
    assert person.says("gone", asked.contract).exit_code == 6
    person.rig.driver().destroy(handle_of(seen), seen.contract)
    assert "dc-agent manual gone" in person.says("list").output
    assert person.reads("gone", asked.contract)["step"] == "gone"
    assert person.reads("list") == []
    assert [each["step"] for each in person.reads("list", "--all")] == ["gone"]


def test_completing_twice_is_fine_and_elsewhere_is_not(person: Person) -> None:
    asked = person.ask()
    words = ("complete", asked.contract, "--host-key", asked.host_key, "--host")
    assert person.says(*words, "192.0.2.7").exit_code == 0
    assert person.says(*words, "192.0.2.7").exit_code == 0
    assert person.says(*words, "192.0.2.8").exit_code == 6
    assert person.says("fail", asked.contract, "--reason", "no").exit_code == 6


def test_a_machine_with_another_host_key_is_not_completed(person: Person) -> None:
    asked = person.ask()
    other = person.ask()
    refused = person.says("complete", asked.contract, "--host", "h", "--host-key", other.host_key)
    assert refused.exit_code == 2
    assert "manual show" in refused.output
    assert person.rig.requests.newest(asked.contract).step is Step.ASKED


def test_a_failed_request_and_unknown_ones_have_their_exit_codes(person: Person) -> None:
    asked = person.ask()
    assert person.says("fail", asked.contract, "--reason", " ").exit_code == 2
    assert person.reads("fail", asked.contract, "--reason", "flood")["reason"] == "flood"
    assert person.says("gone", "cnobody").exit_code == 5
    text = person.config.read_text().replace('driver = "manual"', 'driver = "fake"')
    person.config.write_text(text)
    assert person.says("list").exit_code == 2


def test_the_files_of_a_machine_are_what_ssh_takes(person: Person, tmp_path: Path) -> None:
    asked = person.ask()
    folder = tmp_path / "new"
    shown = person.says("show", asked.contract, "--into", str(folder))
    assert shown.exit_code == 0
    assert "PRIVATE" not in shown.output
    assert "$6$" not in shown.output
    assert {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()} == dict.fromkeys(
        ("host_key", "authorized_keys", "password_hash", "user_data"), 0o600
    )
    assert (folder / "password_hash").read_text().startswith("root:$6$")
    if shutil.which("ssh-keygen"):
        command = ["ssh-keygen", "-yf", str(folder / "host_key")]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert said.split()[:2] == asked.host_key.split()
    assert person.says("show", asked.contract, "--into", str(folder)).exit_code == 6


def test_status_says_what_is_to_be_done(person: Person) -> None:
    asked = person.ask()
    runner = CliRunner()
    assert runner.invoke(cli, ["--config", str(person.config), "init"]).exit_code == 0
    runner.invoke(cli, ["--config", str(person.config), "doctor"])
    shown = runner.invoke(cli, ["--config", str(person.config), "status"])
    assert shown.exit_code == 0, shown.output
    assert f"to do     {asked.contract}: make the machine" in shown.output


@pytest.mark.parametrize(
    "wrong",
    [{}, {"path": "relative"}, {"path": "/x", "on_change": ["mail"]}, {"path": "/x", "a": 1}],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        registry.load("manual", wrong, "platform")

"""The script driver keeps the kit with the example script, whatever a script does or does not print."""

from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path

import pytest

from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.specs import handle_of, new_contract, new_password, new_spec
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    CanCheckPlan,
    CanMeter,
    CanResetPassword,
    CanStop,
    DriverError,
    Handle,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.script.driver import ScriptDriver
from decent_cloud.kernel.errors import Invalid
from tests.drivers.script_rig import ScriptRig


@pytest.fixture
def rig(tmp_path: Path) -> ScriptRig:
    return ScriptRig(tmp_path)


@pytest.mark.slow
class TestScriptDriver(ConformanceSuite):
    """Runs the kit."""


def driver_of(
    tmp_path: Path, text: str, *, shell: str = "/bin/sh", **settings: object
) -> ScriptDriver:
    """Return a driver over a script of this text."""
    path = tmp_path / "script"
    path.write_text(f"#!{shell}\n{text}\n")
    path.chmod(0o755)
    return ScriptDriver.from_settings({"command": [str(path)], **settings}, "platform")


@pytest.mark.parametrize(
    ("code", "error"),
    [(10, Rejected), (11, NoCapacity), (12, AuthFailed), (13, TryLater), (14, Broken)],
)
def test_an_exit_code_and_a_last_line_are_enough_for_an_error(
    tmp_path: Path, code: int, error: type[DriverError]
) -> None:
    driver = driver_of(tmp_path, f"echo some noise >&2; echo the reason >&2; exit {code}")
    with pytest.raises(error, match="the reason"):
        driver.scope()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("echo nonsense", "not JSON"),
        ("true", "not JSON"),
        ("""echo '{"protocol": 2, "scope": "s"}'""", "protocol 2"),
        ("""echo '{"protocol": 1}'""", "no scope"),
        ("""echo '{"protocol": 1, "scope": "s", "machnie": null}'""", "machnie"),
        ("""echo '{"protocol": 1, "scope": "s", "machine": {"state": "on"}}'""", "machine"),
        ("echo why it broke >&2; exit 3", "why it broke"),
        ("yes", "prints more"),
    ],
)
def test_what_is_no_answer_is_broken(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(Broken, match=match):
        driver_of(tmp_path, text).scope()


def test_a_script_that_is_killed_leaves_a_doubt(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="signal 9"):
        driver_of(tmp_path, "kill -9 $$").scope()


@pytest.mark.slow
def test_a_late_script_is_ended_with_all_it_started(tmp_path: Path) -> None:
    left = tmp_path / "left"
    driver = driver_of(tmp_path, f"(sleep 3; touch {left}) & sleep 60", timeouts_s={"scope": 1})
    begin = time.monotonic()
    with pytest.raises(TryLater, match="not done within 1 s"):
        driver.scope()
    assert time.monotonic() - begin < 4
    time.sleep(max(0, begin + 4.5 - time.monotonic()))
    assert not left.exists()


def test_a_daemon_that_a_script_leaves_behind_holds_up_nobody(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, """setsid sleep 20 & echo '{"protocol": 1, "scope": "s"}'""")
    begin = time.monotonic()
    assert driver.scope() == "s"
    assert time.monotonic() - begin < 5


def test_a_script_that_reads_nothing_may_still_answer(tmp_path: Path) -> None:
    driver = driver_of(
        tmp_path,
        """exec 0<&-; echo '{"protocol": 1, "scope": "s"}'""",
        config={"much": "x" * 1_000_000},
    )
    assert driver.scope() == "s"


def test_scripts_in_a_shell_do(tmp_path: Path) -> None:
    text = """asked=$(cat); case $asked in
    *'"verb":"list"'*) echo '{"protocol": 1, "scope": "s", "machines": []}';;
    *) echo '{"protocol": 1, "scope": "s"}';; esac"""
    driver = driver_of(tmp_path, text)
    assert driver.list_owned() == ()
    assert driver.probe().passed


def test_secrets_travel_on_standard_input_only(rig: ScriptRig, tmp_path: Path) -> None:
    key = tmp_path / "token"
    key.write_text("a-token-for-the-cloud\n")
    key.chmod(0o600)
    seen = tmp_path / "seen"
    driver = driver_of(
        tmp_path,
        f"cat > {seen}.in; tr '\\0' ' ' </proc/$$/environ >{seen}.env; echo $* >{seen}.args; exit 14",
        secret_files={"token": str(key)},
        config={"zone": "a"},
    )
    spec = new_spec(rig)
    with pytest.raises(Broken):
        driver.create(spec)
    asked = json.loads(Path(f"{seen}.in").read_text())
    assert asked["secrets"] == {"token": "a-token-for-the-cloud"}
    assert asked["config"] == {"zone": "a"}
    assert asked["spec"]["password"] == spec.password.reveal()
    assert asked["spec"]["host_key_private"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    outside = Path(f"{seen}.env").read_text() + Path(f"{seen}.args").read_text()
    for secret in (spec.password.reveal(), spec.host_key.seed_hex.reveal(), "a-token"):
        assert secret not in outside


def test_a_script_that_prints_secrets_in_errors_is_not_believed_with_them(
    rig: ScriptRig, tmp_path: Path
) -> None:
    key = tmp_path / "token"
    key.write_text("a-token-for-the-cloud\n")
    key.chmod(0o600)
    driver = driver_of(
        tmp_path,
        "import json, sys; asked = json.load(sys.stdin)\n"
        "print(asked['spec']['password'], asked['secrets']['token'], file=sys.stderr); sys.exit(10)",
        shell=sys.executable,
        secret_files={"token": str(key)},
    )
    spec = new_spec(rig)
    with pytest.raises(Rejected) as refusal:
        driver.create(spec)
    said = f"{refusal.value} {refusal.value!r} {refusal.value.message}"
    assert "[secret] [secret]" in said
    assert spec.password.reveal() not in said
    assert "a-token" not in said


def test_a_secret_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    key = tmp_path / "token"
    key.write_text("x")
    key.chmod(0o644)
    driver = driver_of(tmp_path, "true", secret_files={"token": str(key)})
    with pytest.raises(Broken, match="chmod 600"):
        driver.scope()


def test_a_script_cannot_talk_the_driver_into_removing_what_is_not_ours(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    machine = '{"platform": "other", "contract": "c", "state": "running", "host": "h", "port": 1}'
    text = f"""cat >> {asked}; echo '{{"protocol": 1, "scope": "s", "machine": {machine}}}'"""
    driver = driver_of(tmp_path, text)
    with pytest.raises(Rejected):
        driver.destroy(Handle("script", {"name": "x"}), new_contract())
    assert '"verb":"destroy"' not in asked.read_text()


def test_abilities_are_those_that_the_settings_name(tmp_path: Path) -> None:
    plain = driver_of(tmp_path, "true")
    assert not isinstance(plain, CanStop | CanResetPassword | CanMeter | CanCheckPlan)
    some = driver_of(tmp_path, "true", abilities=["stop", "meter"])
    assert isinstance(some, CanStop)
    assert isinstance(some, CanMeter)
    assert not isinstance(some, CanResetPassword | CanCheckPlan)


def test_a_script_that_others_may_change_fails_the_probe(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, """echo '{"protocol": 1, "scope": "s"}'""")
    assert driver.probe().passed
    path = tmp_path / "script"
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    probe = driver.probe()
    assert not probe.passed
    assert "others may write" in probe.checks[0].detail


def test_a_password_that_the_backend_chose_is_handed_back(tmp_path: Path) -> None:
    machine = (
        '{"platform": "platform", "contract": "%s", "state": "running", "host": "h", "port": 1}'
    )
    spec = new_spec(ScriptRig(tmp_path))
    text = (
        """echo '{"protocol": 1, "scope": "s", "password": "chosen", "machine": """
        + machine % spec.contract
        + "}'"
    )
    driver = driver_of(tmp_path, text, abilities=["reset_password"])
    assert isinstance(driver, CanResetPassword)
    handle = handle_of(driver.create(spec))
    works = driver.reset_password(handle, spec.contract, "root", new_password())
    assert works.reveal() == "chosen"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"command": []},
        {"command": ["relative"]},
        {"command": ["/bin/true"], "abilities": ["fly"]},
        {"command": ["/bin/true"], "first_port": 2_000},
        {"command": ["/bin/true"], "first_port": 2_000, "last_port": 1_999},
        {"command": ["/bin/true"], "timeouts_s": {"create": 0}},
        {"command": ["/bin/true"], "timeouts_s": {"paint": 5}},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        ScriptDriver.from_settings(wrong, "platform")


def test_the_driver_is_found_by_its_name() -> None:
    made = registry.load(
        "script", {"command": ["/bin/true"], "first_port": 2_000, "last_port": 2_001}, "p"
    )
    assert made.describe().port_range == (2_000, 2_001)

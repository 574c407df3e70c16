"""`dc-agent test-provision` shows each step with its time, and leaves nothing, whatever happens on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from decent_cloud.agent.trial import Trial, TrialPlan, TrialResult, TrialStep
from decent_cloud.drivers.contract import Plan, Secret
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.programs.agent import cli
from devtools.engine import Engine
from tests.drivers.docker_rig import SDK_LEAKS

STEPS = ["backend", "create", "running", "login", "reset", "destroy"]


def config(place: Path, driver: str, **settings: object) -> Path:
    lines = [
        'platform = "http://127.0.0.1:1"',
        f'data_dir = "{place}/data"',
        f'driver = "{driver}"',
        "read_lag_ms = 200",
        "[driver_settings]",
        *(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
    ]
    file = place / "agent.toml"
    file.write_text("\n".join(lines))
    return file


def call(file: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(file), "test-provision", *words])


@pytest.fixture
def cloud(tmp_path: Path) -> FakeBackend:
    return FakeBackend(tmp_path / "cloud.db")


@pytest.fixture
def fake(tmp_path: Path, cloud: FakeBackend) -> Path:
    return config(tmp_path, "fake", path=str(cloud.path), first_port=24_000, last_port=24_099)


def steps(result: Result) -> dict[str, bool]:
    return {step["name"]: step["passed"] for step in json.loads(result.stdout)["steps"]}


def trial(cloud: FakeBackend, folder: Path, say: Callable[[TrialStep], None]) -> TrialResult:
    plan = TrialPlan("trial", Plan("any", 1_000, 512, 0), "root", str(folder), wait_s=1, lag_ms=100)
    driver = FakeDriver.from_settings({"path": str(cloud.path)}, "trial")
    return Trial(driver, plan, say, pause=lambda _s: None).run()


def test_every_step_is_tried_without_the_platform_and_nothing_is_left(
    fake: Path, cloud: FakeBackend
) -> None:
    result = call(fake, "--image", "any")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines() if line[:2] == "ok"] == STEPS
    assert "nothing is left behind" in result.stdout
    assert cloud.machines() == ()
    assert len(cloud.machines(deleted=True)) == 1


def test_a_kept_machine_stays_until_it_is_cleaned_away(fake: Path, cloud: FakeBackend) -> None:
    result = call(fake, "--image", "any", "--keep", "--json")
    assert result.exit_code == 0, result.output
    (machine,) = cloud.machines()
    assert json.loads(result.stdout)["kept"] == machine.contract
    assert call(fake, "--clean").exit_code == 0
    assert cloud.machines() == ()


def test_what_could_not_be_made_fails_its_step(fake: Path, cloud: FakeBackend) -> None:
    cloud.fail_next(Verb.CREATE, Fault.NO_CAPACITY)
    result = call(fake, "--image", "any", "--json")
    assert result.exit_code == 1
    assert steps(result) == {"backend": True, "create": False, "destroy": True}
    assert cloud.machines() == ()


def test_a_lost_answer_makes_one_machine_and_leaves_none(
    tmp_path: Path, cloud: FakeBackend
) -> None:
    cloud.fail_next(Verb.CREATE, Fault.ANSWER_LOST)
    result = trial(cloud, tmp_path, lambda _step: None)
    assert result.passed
    assert (len(cloud.machines()), len(cloud.machines(deleted=True))) == (0, 1)


@pytest.mark.parametrize("at", STEPS[:-1])
def test_an_interruption_anywhere_is_cleaned_up(
    tmp_path: Path, cloud: FakeBackend, at: str
) -> None:
    def interrupt(step: TrialStep) -> None:
        if step.name == at:
            raise KeyboardInterrupt

    result = trial(cloud, tmp_path, interrupt)
    assert not result.passed
    assert result.left == ()
    assert cloud.machines() == ()


def test_what_cannot_be_removed_is_named(tmp_path: Path, cloud: FakeBackend) -> None:
    def interrupt(step: TrialStep) -> None:
        if step.name == "destroy":
            raise KeyboardInterrupt
        if step.name == "reset":
            cloud.fail_next(Verb.DESTROY, Fault.TRY_LATER)

    result = trial(cloud, tmp_path, interrupt)
    assert "interrupted" in result.left[0]
    assert not result.passed


def test_no_password_is_shown(fake: Path, cloud: FakeBackend) -> None:
    result = call(fake, "--image", "any", "--keep", "--json")
    (machine,) = cloud.machines()
    driver = FakeDriver.from_settings({"path": str(cloud.path)}, machine.platform)
    (seen,) = driver.list_owned()
    assert seen.handle is not None
    words = re.findall(r"[\w-]{16,}", result.output)
    assert words
    for word in words:
        assert not driver.try_password(seen.handle, seen.contract, "root", Secret(word))


def test_without_an_image_to_guess_it_is_asked_for(fake: Path) -> None:
    result = call(fake)
    assert result.exit_code == 2
    assert "--image" in result.output


@pytest.mark.slow
@pytest.mark.sandbox
def test_a_sandbox_is_entered_over_ssh_and_reset(tmp_path: Path) -> None:
    folder = tmp_path / "machines"
    file = config(tmp_path, "sandbox", folder=str(folder), first_port=28_900, last_port=28_999)
    assert_well(call(file, "--json"))
    assert list((folder / "machines").glob("dc-*")) == []


class TestDocker:
    pytestmark = [pytest.mark.docker, *SDK_LEAKS]

    def test_a_container_is_entered_over_ssh_and_reset(
        self, docker_engine: Engine, tmp_path: Path
    ) -> None:
        file = config(
            tmp_path, "docker", engine=docker_engine.url, first_port=28_800, last_port=28_899
        )
        assert_well(call(file, "--json"))


def assert_well(result: Result) -> None:
    said: dict[str, Any] = json.loads(result.stdout)
    if said["steps"] and not said["steps"][0]["passed"]:
        pytest.skip(said["steps"][0]["detail"])
    assert result.exit_code == 0, result.output
    assert [step["name"] for step in said["steps"]] == STEPS
    assert "old one is refused" in said["steps"][4]["detail"]

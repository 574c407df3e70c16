"""`driver = "auto"` takes the first driver that makes a machine, says why, and stays with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from decent_cloud.agent.settings import AgentSettings
from decent_cloud.drivers.auto import NoDriverWorks, choose
from decent_cloud.kernel.errors import Invalid
from decent_cloud.programs.agent import cli
from decent_cloud.programs.agent_auto import chosen
from tests.drivers.docker_rig import SDK_LEAKS
from tests.drivers.sandbox_rig import why_not

pytestmark = [pytest.mark.slow, *SDK_LEAKS]
NO_ENGINE = {"engine": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder for sandboxes; skips where none can run."""
    if reason := why_not():
        pytest.skip(reason)
    with TemporaryDirectory(prefix="dc-sandbox-") as made:
        yield made


def settings_in(data: Path, **tables: object) -> AgentSettings:
    return AgentSettings(
        platform="http://127.0.0.1:1", data_dir=str(data), driver="auto", driver_settings=tables
    )


@pytest.mark.sandbox
def test_without_an_engine_the_sandbox_is_taken_and_the_reason_said(folder: str) -> None:
    choice = choose({"docker": NO_ENGINE, "sandbox": {"folder": folder}}, "platform")
    assert (choice.driver, choice.settings) == ("sandbox", {"folder": folder})
    assert choice.why.startswith("sandbox makes machines here (docker: engine: no answer")


@pytest.mark.sandbox
def test_a_choice_is_kept_when_the_better_backend_goes_down(folder: str, tmp_path: Path) -> None:
    tables = {"docker": NO_ENGINE, "sandbox": {"folder": folder}}
    first, why = chosen(settings_in(tmp_path, **tables))
    broken = {"docker": NO_ENGINE, "sandbox": {"folder": "/proc/nowhere"}}
    second, again = chosen(settings_in(tmp_path, **broken))
    assert (first.driver, second.driver, again) == ("sandbox", "sandbox", why)
    assert second.driver_settings == {"folder": "/proc/nowhere"}


@pytest.mark.sandbox
def test_doctor_says_which_driver_was_chosen_and_what_the_other_lacks(
    folder: str, tmp_path: Path
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        f'platform = "http://127.0.0.1:1"\ndata_dir = "{tmp_path}/data"\ndriver = "auto"\n'
        'public_host = "127.0.0.1"\n'
        f'[driver_settings.docker]\nengine = "{NO_ENGINE["engine"]}"\n'
        f'[driver_settings.sandbox]\nfolder = "{folder}"\n'
    )
    CliRunner().invoke(cli, ["--config", str(config), "init"])
    said = json.loads(CliRunner().invoke(cli, ["--config", str(config), "doctor", "--json"]).output)
    checks = {each["name"]: each for each in said["checks"]}
    assert checks["auto"]["passed"]
    assert "sandbox makes machines here (docker: engine" in checks["auto"]["detail"]
    assert "development and trusted tenants only" in checks["driver"]["detail"]
    assert checks["machine"]["passed"]


def test_where_nothing_works_each_reason_is_said_and_nothing_kept(tmp_path: Path) -> None:
    tables = {"docker": NO_ENGINE, "sandbox": {"folder": "/proc/nowhere"}}
    with pytest.raises(NoDriverWorks, match=r"docker: engine: .*; sandbox: machine: "):
        chosen(settings_in(tmp_path, **tables))
    assert list(tmp_path.iterdir()) == []


def test_settings_of_no_driver_are_refused() -> None:
    with pytest.raises(Invalid, match=r"\[driver_settings.docker\]"):
        choose({"bind": "0.0.0.0"}, "platform")


def test_a_named_driver_is_left_alone(tmp_path: Path) -> None:
    settings = AgentSettings(platform="http://127.0.0.1:1", data_dir=str(tmp_path), driver="fake")
    assert chosen(settings) == (settings, "")

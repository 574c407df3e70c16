"""`dc-agent conformance` asks before it costs, tries the provider's own backend, and leaves nothing there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from decent_cloud.drivers.conformance.account import clean
from decent_cloud.drivers.conformance.rig import Rig
from decent_cloud.drivers.conformance.specs import new_spec
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.programs.agent import cli

QUICK = ("--image", "any", "--no-ssh", "--poll-s", "0.05")


class Provider:
    def __init__(self, folder: Path) -> None:
        self.cloud = FakeBackend(folder / "cloud.db")
        self.config = folder / "agent.toml"
        self.config.write_text(
            f'platform = "http://127.0.0.1:1"\ndata_dir = "{folder}/data"\ndriver = "fake"\n'
            f'[driver_settings]\npath = "{self.cloud.path}"\nfirst_port = 24000\nlast_port = 24900\n'
        )
        self.runs("init")

    def runs(self, *words: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(self.config), *words])

    def tries(self, *words: str) -> Result:
        return self.runs("conformance", "fake", *QUICK, *words)

    def driver(self, platform: str) -> FakeDriver:
        return FakeDriver.from_settings({"path": str(self.cloud.path)}, platform)


class TenantsRig(Rig):
    platform = "real-platform"
    image = "any"

    def driver(self, platform: str = "") -> FakeDriver:
        raise AssertionError("only its specs are used")


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path)


def said(result: Result) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(result.stdout)
    return read


def test_nothing_is_made_before_somebody_agreed(provider: Provider) -> None:
    result = provider.tries()
    assert result.exit_code == 2
    assert "may bill" in result.output
    assert "--yes" in result.output
    assert provider.cloud.machines(deleted=True) == ()


@pytest.mark.slow
def test_the_kit_runs_in_the_account_and_leaves_only_what_tenants_have(provider: Provider) -> None:
    tenants = provider.driver("real-platform").create(new_spec(TenantsRig(), ssh_port=24_000))
    result = provider.tries("--yes", "--json")
    assert result.exit_code == 0, result.output
    results = said(result)["results"]
    passed = [each for each in results["outcomes"] if each["outcome"] == "passed"]
    assert len(passed) > 15
    assert [each.contract for each in provider.cloud.machines()] == [tenants.contract]
    tags = {each.platform for each in provider.cloud.machines(deleted=True)}
    assert tags == {"real-platform", said(result)["tag"]}


@pytest.mark.slow
def test_a_driver_that_fails_the_kit_ends_in_1_and_is_cleaned_up_too(provider: Provider) -> None:
    provider.cloud.change(capacity=1)
    result = provider.tries("--yes", "--only", "lists or twice")
    assert result.exit_code == 1
    assert "FAIL  test_lists_show_ours" in result.stdout
    assert "nothing is left behind" in result.stdout
    assert provider.cloud.machines() == ()


def test_what_an_earlier_run_left_is_removed_without_another_run(provider: Provider) -> None:
    tag = said(provider.tries("--clean", "--json"))["tag"]
    provider.driver(tag).create(new_spec(TenantsRig(), platform=tag))
    kept = provider.driver("real-platform").create(new_spec(TenantsRig()))
    assert provider.tries("--clean").exit_code == 0
    assert [each.contract for each in provider.cloud.machines()] == [kept.contract]


def test_cleaning_is_patient_and_says_what_it_could_not_remove(provider: Provider) -> None:
    driver = provider.driver("tag")
    made = driver.create(new_spec(TenantsRig(), platform="tag"))
    provider.cloud.fail_next(Verb.DESTROY, Fault.TRY_LATER, times=2)
    assert clean(driver, poll_s=0.01) == ()
    driver.create(new_spec(TenantsRig(), platform="tag"))
    provider.cloud.fail_next(Verb.DESTROY, Fault.AUTH_FAILED, times=9)
    (left,) = clean(driver, poll_s=0.01, limit_s=0)
    assert "driver_auth_failed" in left
    provider.cloud.fail_next(Verb.LIST, Fault.TRY_LATER, times=9)
    assert clean(driver, poll_s=0.01, limit_s=0)[0].startswith("the list cannot be read")
    assert made.contract


def test_another_driver_than_the_settings_have_is_refused(provider: Provider) -> None:
    assert provider.runs("conformance", "docker", *QUICK).exit_code == 2
    assert provider.tries("--setting", "zone", "--yes").exit_code == 2

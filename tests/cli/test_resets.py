"""`decent creds reset`, `decent creds rotate-ssh` and `dc-agent reset-password`, with a real agent on a fake cloud."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from decent_cloud.agent.daemon import lock_data_dir
from decent_cloud.agent.keys import make_keys
from decent_cloud.agent.records import Stage
from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.domain.keys.links import build_add
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel import codec
from decent_cloud.kernel.ssh_keys import SshPublicKey
from decent_cloud.programs import agent as program
from tests.agent.rig import Rig, rig_for, running
from tests.cli.conftest import Desk
from tests.support.key_lists import ssh_line
from tests.support.market import publish
from tests.support.people import Shop
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

CARD = ("--pay", "sandbox", "--card", "test-ok")


@pytest.fixture
def shop(provider: Desk, tmp_path: Path) -> Shop:
    """Give the provider's account past the command line, with an agent whose key lies in a file."""
    keys = make_keys(tmp_path / "agent" / "device.key")
    link = build_add(
        provider.person().chain.next_place, keys.public(DeviceType.AGENT, Rank.READER), [keys]
    )
    file = tmp_path / "add.json"
    file.write_bytes(codec.to_json(link.to_json()))
    joined = provider.run("agents", "approve", "--file", str(file), "--pool", "barn", "--yes")
    owner = provider.person()
    return Shop(owner, joined["pool"], keys, owner.api_of(keys))


@pytest.fixture
def rig(platform: Platform, shop: Shop, tmp_path: Path) -> Iterator[Rig]:
    made = rig_for(shop, platform.url, tmp_path / "agent")
    yield made
    made.stop()


def rented(rig: Rig, shop: Shop, tenant: Desk, ssh_key: str, **changes: object) -> str:
    offering = publish(shop, **changes)["id"]
    args = (offering, "--hours", "2", "--ssh-key", ssh_key, *CARD, "--yes")
    contract = str(tenant.run("rent", *args)["id"])
    rig.reaches(contract, Stage.BOUND)
    return contract


def revealed(tenant: Desk, contract: str) -> str:
    return str(tenant.run("creds", "show", contract, "--reveal")["password"])


def works(rig: Rig, contract: str, secret: str) -> bool:
    (machine,) = rig.backend.machines(contract)
    return rig.backend.takes_password(machine.id, secret)


def dc_agent(rig: Rig, tmp_path: Path, *args: str) -> Result:
    """Run `dc-agent` on the rig's data folder."""
    config = tmp_path / "agent.toml"
    first, last = rig.ports or (21_000, 21_099)
    config.write_text(
        f'platform = "{rig.url}"\ndata_dir = "{rig.folder}"\ndriver = "fake"\n'
        'public_host = "127.0.0.1"\nread_lag_ms = 200\nretry_first_ms = 50\n'
        f'[driver_settings]\npath = "{rig.backend.path}"\nfirst_port = {first}\nlast_port = {last}\n'
    )
    return CliRunner().invoke(program.cli, ["--config", str(config), *args])


def test_a_person_sees_the_steps_and_then_the_new_credential(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        old = revealed(tenant, contract)
        result = tenant.try_("creds", "reset", contract)
        assert result.exit_code == 0, result.stderr
        assert "verified: a login with it worked" in result.stderr
        assert "credential 2" in result.stdout
        new = revealed(tenant, contract)
        assert new not in result.output
        assert works(rig, contract, new)
        assert not works(rig, contract, old)
        events = [row["event"] for row in tenant.run("contracts", "events", contract)["items"]]
        assert events[-4:] == [
            "reset_requested",
            "reset_claimed",
            "reset_applied",
            "reset_verified",
        ]


def test_a_program_gets_one_object_and_the_secret_only_if_asked(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        found: Any = tenant.run("creds", "reset", contract, "--reveal")
        assert (found["reset"]["state"], found["reset"]["n"], found["access"]["n"]) == (
            "verified",
            2,
            2,
        )
        assert works(rig, contract, found["access"]["password"])
        hidden = tenant.run("creds", "reset", contract)
        assert hidden["access"]["password"] is None


def test_what_cannot_be_done_says_why(rig: Rig, shop: Shop, tenant: Desk, ssh_key: str) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        rig.backend.fail_next(Verb.RESET, Fault.REJECTED)
        error = tenant.refused(6, "creds", "reset", contract)
        assert error["code"] == "reset_failed"
        assert "the machine does not take it" in error["message"]
        bare = rented(rig, shop, tenant, ssh_key, reset=False)
        assert tenant.refused(6, "creds", "reset", bare)["code"] == "reset_not_promised"


def test_without_waiting_it_is_asked_for_and_limits_are_told(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
    asked = tenant.run("creds", "reset", contract, "--no-wait")
    assert (asked["reset"]["state"], asked["access"]) == ("requested", None)
    assert tenant.refused(6, "creds", "reset", contract)["code"] == "reset_open"


def public_file(folder: Path, number: int) -> Path:
    file = folder / f"key{number}.pub"
    file.write_text(f"{ssh_line(number)} me@here\n")
    return file


def test_a_person_replaces_the_keys_and_sees_the_steps(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str, tmp_path: Path
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        new = public_file(tmp_path, 1)
        new.with_suffix("").write_text("the private key beside it\n")
        result = tenant.try_("creds", "rotate-ssh", contract, "--ssh-key", str(new))
        assert result.exit_code == 0, result.stderr
        assert "verified: the machine takes just these keys" in result.stderr
        assert SshPublicKey.parse(ssh_line(1)).fingerprint() in result.stdout
        (machine,) = rig.backend.machines(contract)
        assert machine.ssh_keys == ssh_line(1)
        assert str(new.with_suffix("")) in tenant.run("ssh", contract, "--print")
        events = [row["event"] for row in tenant.run("contracts", "events", contract)["items"]]
        assert events[-4:] == ["keys_requested", "keys_claimed", "keys_applied", "keys_verified"]


def test_a_program_replaces_the_keys_again_and_again(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str, tmp_path: Path
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        files = [str(public_file(tmp_path, number)) for number in (2, 1)]
        options = [part for file in files for part in ("--ssh-key", file)]
        found: Any = tenant.run("creds", "rotate-ssh", contract, *options)
        assert (found["reset"]["state"], found["reset"]["n"]) == ("verified", 1)
        assert [key["type"] for key in found["ssh_keys"]] == ["ssh-ed25519"] * 2
        again = tenant.run("creds", "rotate-ssh", contract, "--ssh-key", files[0])
        assert (again["reset"]["state"], again["reset"]["n"]) == ("verified", 2)
        rig.backend.fail_next(Verb.REPLACE_KEYS, Fault.REJECTED)
        error = tenant.refused(6, "creds", "rotate-ssh", contract, "--ssh-key", files[1])
        assert error["code"] == "reset_failed"
        assert "the machine does not take it" in error["message"]
        (machine,) = rig.backend.machines(contract)
        assert machine.ssh_keys == ssh_line(2)
        bare = rented(rig, shop, tenant, ssh_key, reset=False)
        error = tenant.refused(6, "creds", "rotate-ssh", bare, "--ssh-key", files[0])
        assert error["code"] == "reset_not_promised"


def test_only_the_tenant_signs_which_keys_a_machine_takes(
    rig: Rig, shop: Shop, tenant: Desk, provider: Desk, ssh_key: str, tmp_path: Path
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
    file = str(public_file(tmp_path, 1))
    for command in (("rotate-ssh", contract, "--ssh-key", file), ("show", contract)):
        error = provider.refused(3, "creds", *command)
        assert error["code"] == "wrong_account"
        assert "only the tenant can do this" in error["message"]


def test_a_provider_resets_with_the_agent_running_and_without(
    rig: Rig, shop: Shop, tenant: Desk, ssh_key: str, tmp_path: Path
) -> None:
    with running(rig):
        contract = rented(rig, shop, tenant, ssh_key)
        old = revealed(tenant, contract)
        lock = lock_data_dir(rig.folder / "agent.lock")  # as the program holds it that runs
        result = dc_agent(rig, tmp_path, "reset-password", "--contract-id", contract)
        os.close(lock)
        assert result.exit_code == 0, result.output
        new = revealed(tenant, contract)
        assert works(rig, contract, new)
        assert not works(rig, contract, old)
        assert new not in result.output
    result = dc_agent(rig, tmp_path, "reset-password", "--contract-id", contract, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n"] == 3
    newest = revealed(tenant, contract)
    assert newest not in {old, new}
    assert works(rig, contract, newest)
    unknown = dc_agent(rig, tmp_path, "reset-password", "--contract-id", "c" + "0" * 26)
    assert unknown.exit_code != 0
    assert "no running machine" in unknown.output

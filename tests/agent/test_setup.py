"""`dc-agent setup` writes closed, complete settings, goes on where it stopped, and registers last of all."""

from __future__ import annotations

import json
import secrets
import threading
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from decent_cloud.agent.config_file import read_table, write_table
from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.settings import read_settings
from decent_cloud.domain.keys.pairing import CODE_BYTES, code_from_random
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.errors import Invalid
from decent_cloud.programs.agent import cli
from tests.agent.rig import eventually
from tests.agent.test_register import in_background, joined, open_relay, post_link
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.support.clouds.digitalocean import TOKEN as DIGITALOCEAN_TOKEN
from tests.support.clouds.digitalocean import DigitalOceanCloud
from tests.support.clouds.hetzner import TOKEN as HETZNER_TOKEN
from tests.support.clouds.hetzner import HetznerCloud
from tests.support.clouds.proxmox import TOKEN, FakeProxmox
from tests.support.clouds.server import Cloud, serving_cloud
from tests.support.clouds.vultr import TOKEN as VULTR_TOKEN
from tests.support.clouds.vultr import VultrCloud
from tests.support.people import ALL_PERMISSIONS, Shop, delegate
from tests.support.platform import Platform

NOBODY = "http://127.0.0.1:1"  # who is asked for a registration there fails


def run(folder: Path, *words: str, said: str = "") -> Result:
    line = ["--config", str(folder / "etc/agent.toml"), "setup", *words]
    return CliRunner().invoke(cli, line, input=said)


def fake(folder: Path, platform: str = NOBODY, *words: str) -> Result:
    given = ("--platform", platform, "--data-dir", str(folder / "data"))
    return run(folder, "fake", *given, "--set", f"path={folder}/cloud.db", *words)


def settings(folder: Path) -> Mapping[str, object]:
    return tomllib.loads((folder / "etc/agent.toml").read_text())


def test_settings_are_complete_and_closed_to_others(tmp_path: Path) -> None:
    result = fake(
        tmp_path, NOBODY, "--set", "first_port=24000", "--set", "last_port=24009", "--no-register"
    )
    assert result.exit_code == 0, result.output
    file = tmp_path / "etc/agent.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    read = read_settings(file)
    assert (read.driver, read.platform) == ("fake", NOBODY)
    assert read.driver_settings["first_port"] == 24_000
    assert load_keys(read.key_file).kid in result.output or "dc-agent" in result.output


def test_a_backend_that_fails_burns_no_setup_token_and_is_gone_on_with(tmp_path: Path) -> None:
    FakeBackend(tmp_path / "cloud.db").fail_next(Verb.PROBE, Fault.AUTH_FAILED)
    failed = fake(tmp_path, NOBODY, "--code", "7KQF2-M9XPD-3AWZ6-T8RHC")
    assert failed.exit_code == 1, failed.output
    assert "no setup token used" in failed.stdout
    again = run(tmp_path, "fake", "--no-register", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["registered"] is False
    assert settings(tmp_path)["platform"] == NOBODY


def test_at_the_end_the_agent_is_registered(platform: Platform, shop: Shop, tmp_path: Path) -> None:
    assert fake(tmp_path, platform.url, "--no-register").exit_code == 0
    keys = load_keys(tmp_path / "data/device.key")
    code = code_from_random(secrets.token_bytes(CODE_BYTES))
    open_relay(shop, code)

    def approve() -> None:
        post_link(shop, eventually(lambda: joined(shop, code)))
        other = Shop(shop.owner, shop.pool, keys, shop.agent)
        assert delegate(other, ALL_PERMISSIONS).status_code == 201

    approving = in_background(approve)
    result = run(tmp_path, "fake", "--code", code.text, "--wait", "20", "--json")
    approving.join()
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["registered"] is True
    assert run(tmp_path, "fake").exit_code == 0  # the same again needs no token


def test_a_token_goes_from_standard_input_to_a_closed_file_and_nowhere_else(tmp_path: Path) -> None:
    with serving_cloud(HetznerCloud()) as cloud:
        result = run(
            tmp_path,
            *("hetzner", "--platform", NOBODY, "--data-dir", str(tmp_path / "data")),
            *("--set", f'api="{cloud.origin}/v1"', "--token-from", "-", "--no-register"),
            said="wrong-token-2f9c\n",
        )
    assert result.exit_code == 1, result.output
    token = tmp_path / "data/backend.token"
    assert token.read_text() == "wrong-token-2f9c\n"
    assert token.stat().st_mode & 0o777 == 0o600
    assert "wrong-token-2f9c" not in result.output + (tmp_path / "etc/agent.toml").read_text()


CLOUDS = [
    pytest.param("hetzner", HetznerCloud, "/v1", HETZNER_TOKEN, id="hetzner"),
    pytest.param("digitalocean", DigitalOceanCloud, "", DIGITALOCEAN_TOKEN, id="digitalocean"),
    pytest.param("vultr", VultrCloud, "/v2", VULTR_TOKEN, id="vultr"),
]
SOLD = {  # what the fakes have
    "hetzner": ('images={debian-12="debian-12"}', 'locations=["fsn1"]'),
    "digitalocean": ('images={debian-12="debian-12-x64"}', 'regions=["fra1"]'),
    "vultr": ('images={debian-12="Debian 12 x64 (bookworm)"}', 'regions=["fra"]'),
}


def of_cloud(folder: Path, driver: str, api: str, *words: str, said: str) -> Result:
    given = ("--platform", NOBODY, "--data-dir", str(folder / "data"), "--set", f'api="{api}"')
    sold = [word for each in SOLD[driver] for word in ("--set", each)]
    return run(folder, driver, *given, *sold, "--token-from", "-", *words, said=f"{said}\n")


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "cloud", "path", "token"), CLOUDS)
def test_a_cloud_is_set_up_with_a_token_and_then_waits_for_its_registration(
    tmp_path: Path, driver: str, cloud: Callable[[], Cloud], path: str, token: str
) -> None:
    with serving_cloud(cloud()) as served:
        result = of_cloud(
            tmp_path, driver, f"{served.origin}{path}", "--no-register", "--json", said=token
        )
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert (done["ready"], done["registered"]) == (True, False)
    assert done["next"][0].endswith("register CODE")
    read = read_settings(tmp_path / "etc/agent.toml")
    assert (read.driver, read.driver_settings["api"]) == (driver, f"{served.origin}{path}")
    assert load_keys(read.key_file).kid == done["agent"]
    assert token not in result.output + (tmp_path / "etc/agent.toml").read_text()
    assert (tmp_path / "data/backend.token").read_text().strip() == token


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "cloud", "path", "token"), CLOUDS)
def test_a_cloud_that_does_not_take_the_token_burns_no_setup_token(
    tmp_path: Path, driver: str, cloud: Callable[[], Cloud], path: str, token: str
) -> None:
    """A registration would fail otherwise here: there is no platform."""
    code = ("--code", "7KQF2-M9XPD-3AWZ6-T8RHC")
    with serving_cloud(cloud()) as served:
        api = f"{served.origin}{path}"
        failed = of_cloud(tmp_path, driver, api, *code, said="wrong-token-2f9c")
        assert failed.exit_code == 1, failed.output
        assert "no setup token used" in failed.stdout
        again = of_cloud(tmp_path, driver, api, "--no-register", "--json", said=token)
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["registered"] is False


def test_the_examples_in_the_help_are_plain() -> None:
    for command in ("register", "doctor", "setup", "install-service"):
        shown = CliRunner().invoke(cli, [command, "--help"]).output
        assert f"Examples: dc-agent {command}" in shown.replace("sudo ", "")
        assert "\\b" not in shown
        assert "\b" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nonsense",), "known drivers"),
        (("hetzner", "--platform", NOBODY), "--token-from"),
        (("docker",), "Address of the platform"),
        (("docker", "--template-vmid", "9000"), "proxmox only"),
        (("proxmox", "--template-url", "https://i/a.qcow2"), "--template-vmid"),
    ],
)
def test_what_is_missing_is_named_where_nobody_can_be_asked(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    result = run(tmp_path, *words)
    assert result.exit_code == 2
    assert said in result.output


def test_settings_of_another_driver_are_not_overwritten(tmp_path: Path) -> None:
    assert fake(tmp_path, NOBODY, "--no-register").exit_code == 0
    assert "--config" in run(tmp_path, "sandbox").output
    assert settings(tmp_path)["driver"] == "fake"


def test_every_table_is_read_back_as_it_was(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "a": 'quote " and \\ and ü',
        "b": [1, 2],
        "c": {"d e": True, "images": {"debian-12": 9000}},
    }
    write_table(tmp_path / "t.toml", table)
    assert read_table(tmp_path / "t.toml") == table
    with pytest.raises(Invalid):
        write_table(tmp_path / "t.toml", {"a": None})
    assert read_table(tmp_path / "t.toml") == table


@pytest.mark.slow
def test_for_proxmox_the_template_is_made_too(tmp_path: Path) -> None:
    done = threading.Event()
    with serving_cloud(FakeProxmox()) as cloud:
        rig = ProxmoxRig(cloud, tmp_path)
        assert cloud.acl is not None
        cloud.acl["/nodes/pve1"].add("Sys.AccessNetwork")

        def let_time_pass() -> None:
            while not done.wait(0.02):
                rig.wait(2)

        passing = in_background(let_time_pass)
        given = {
            name: value
            for name, value in rig.settings_with().items()
            if name not in {"images", "token_file"}
        }
        words = [f"--set={name}={json.dumps(value)}" for name, value in given.items()]
        result = run(
            tmp_path,
            *("proxmox", "--platform", NOBODY, "--data-dir", str(tmp_path / "data"), *words),
            *("--template-vmid", "9001", "--template-name", "debian-13"),
            *("--template-url", "https://images.example/debian-13.img"),
            *("--token-from", "-", "--no-register"),
            said=TOKEN + "\n",
        )
        done.set()
        passing.join()
        rig.close()
        assert result.exit_code == 0, result.output
        assert cloud.guests[9001].config["template"] == "1"
    table = read_settings(tmp_path / "etc/agent.toml").driver_settings
    assert table["images"] == {"debian-13": 9001}

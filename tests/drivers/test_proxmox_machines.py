"""What the Proxmox driver makes, finds again, finishes, refuses and leaves alone."""

from __future__ import annotations

import dataclasses
import io
import ipaddress
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from decent_cloud.drivers.conformance.rig import Act, Fault
from decent_cloud.drivers.conformance.specs import (
    TENANT_KEY,
    handle_of,
    new_password,
    new_spec,
    patiently,
    removed,
    running,
    settled,
)
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    InstanceSpec,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.proxmox.mapping import ids_for, mac_of
from decent_cloud.drivers.proxmox.settings import read_settings
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.status import Observed
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.support.clouds.proxmox import TOKEN, FakeProxmox, Guest
from tests.support.clouds.server import serving_cloud

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ProxmoxRig]:
    with serving_cloud(FakeProxmox()) as cloud:
        made = ProxmoxRig(cloud, tmp_path)
        yield made
        made.close()


def test_the_machine_is_a_clone_of_the_promised_size_with_marks_and_no_secrets(
    rig: ProxmoxRig,
) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    guest = rig.guest(spec.contract)
    config = guest.config
    assert (config["cores"], config["cpulimit"], config["memory"]) == ("2", "1.5", "2048")
    assert config["scsi0"].endswith("size=20G")
    assert config["net0"] == f"virtio={mac_of(spec.contract)},bridge=vmbr0"
    assert {f"dcc-{spec.contract}", "dca-first", f"dch-{made.host}"} < set(
        config["tags"].split(";")
    )
    assert set(guest.users["root"]["keys"]) == {key.line() for key in spec.ssh_keys}
    assert (handle_of(made).data["vmid"], made.host) == (str(guest.vmid), rig.cloud.address(guest))
    for secret in (spec.password.reveal(), spec.host_key.seed_hex.reveal(), "$6$", "PRIVATE"):
        assert secret not in json.dumps(config)


def test_the_first_start_drive_reads_well_elsewhere_and_holds_no_plain_password(
    rig: ProxmoxRig,
) -> None:
    spec = new_spec(rig, management_key=TENANT_KEY, user_data="#!/bin/sh\necho hello\n")
    running(rig, rig.driver(), spec)
    (image,) = rig.cloud.volumes.values()
    assert spec.password.reveal().encode() not in image
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(image))
    assert disc.pvd.volume_identifier.strip() == b"CIDATA"
    names = [each.file_identifier().decode() for each in disc.list_children(iso_path="/")][2:]
    assert names == ["META-DATA.;1", "NETWORK-CONFIG.;1", "USER-DATA.;1"]
    read = io.BytesIO()
    disc.get_file_from_iso_fp(read, joliet_path="/user-data")
    assert "echo hello" in read.getvalue().decode()
    assert "decent-management" in read.getvalue().decode()


def test_linked_clones_and_fixed_addresses_follow_from_the_settings(rig: ProxmoxRig) -> None:
    fixed: dict[str, Any] = {
        "first_address": "45.9.0.10",
        "prefix": 16,
        "gateway": "45.9.0.1",
        "vlan": 7,
    }
    rig.cloud.acl = None
    driver = rig.driver(clone="linked", firewall=True, **fixed)
    spec = new_spec(rig)
    made = running(rig, driver, spec)
    guest = rig.guest(spec.contract)
    number = guest.vmid - 20_000
    assert made.host == str(ipaddress.IPv4Address("45.9.0.10") + number)
    assert guest.network["addresses"] == [f"{made.host}/16"]
    assert guest.config["net0"].endswith("bridge=vmbr0,tag=7,firewall=1")
    (call,) = rig.cloud.asked("POST", "/clone$")
    assert call.body["full"] == "0"


def test_a_private_address_is_told_and_taken_only_where_the_provider_says_so(
    rig: ProxmoxRig,
) -> None:
    rig.cloud.addresses["*"] = "10.0.0.5"
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    assert made.state is Observed.CREATING
    assert "private_addresses" in made.detail
    assert running(rig, rig.driver(private_addresses=True), spec).host == "10.0.0.5"


def test_a_guest_whose_agent_is_gone_later_keeps_its_last_address(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    made = running(rig, driver, spec)
    rig.cloud.agent_down.add(rig.guest(spec.contract).vmid)
    read = rig.driver().inspect(handle_of(made), spec.contract)
    assert (read.state, read.host) == (Observed.RUNNING, made.host)


# --- ids and names ---


def test_an_id_that_others_take_in_between_is_left_to_them(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    settings = read_settings(rig.settings_with())
    first, second = itertools.islice(ids_for(spec.contract, settings), 2)
    rig.cloud.then("GET", "/storage$", lambda: rig.foreign(first, "somebody"))
    made = running(rig, rig.driver(), spec)
    assert handle_of(made).data["vmid"] == str(second)
    assert rig.cloud.guests[first].config == {"name": "somebody"}


def test_a_clone_without_a_name_is_waited_for_when_an_answer_was_lost(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    rig.cloud.task_ms["qmclone"] = 120 * SECOND_MS
    rig.cloud.lose_answer("POST", "/clone$")
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    for _ in range(3):
        with pytest.raises(TryLater, match="no name yet"):
            rig.driver().create(spec)
    assert rig.driver().list_owned() == ()
    rig.wait(120)
    assert running(rig, rig.driver(), spec).attempt == "first"
    assert len(rig.cloud.asked("POST", "/clone$")) == 1


def test_a_dead_clone_without_a_name_holds_nobody_up_and_is_told(rig: ProxmoxRig) -> None:
    rig.cloud.guests[20_001] = Guest(20_001, "pve1", {"lock": "clone"})
    probe = rig.driver().probe()
    (left,) = [each for each in probe.checks if each.name == "left-overs"]
    assert not left.passed
    assert "qm unlock 20001" in left.cure
    running(rig, rig.driver(), new_spec(rig))
    assert 20_001 in rig.cloud.guests


def test_a_long_clone_is_gone_on_with_by_the_next_call(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    rig.cloud.task_ms["qmclone"] = 100 * SECOND_MS
    with pytest.raises(TryLater, match="under way"):
        rig.driver().create(spec)
    made = patiently(rig, lambda: rig.driver().create(spec))
    assert len(rig.cloud.asked("POST", "/clone$")) == 1
    assert removed(rig, rig.driver(), made).state is Observed.ABSENT


def test_a_long_clone_holds_up_no_other_contract(rig: ProxmoxRig) -> None:
    driver = rig.driver()
    rig.cloud.task_ms["qmclone"] = 200 * SECOND_MS
    slow, quick = new_spec(rig), new_spec(rig)
    with pytest.raises(TryLater, match="under way"):
        driver.create(slow)
    running(rig, driver, quick)
    with pytest.raises(TryLater, match="no name yet"):
        driver.create(slow)
    rig.wait(200)
    running(rig, driver, slow)
    assert len(rig.cloud.asked("POST", "/clone$")) == 2


def test_many_contracts_at_once_get_one_machine_each(rig: ProxmoxRig) -> None:
    driver = rig.driver(timeout_s=20)
    specs = [new_spec(rig) for _ in range(16)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda each: patiently(rig, lambda: driver.create(each)), specs))
    assert [rig.count(each.contract) for each in specs] == [1] * 16
    assert len({handle_of(each).data["vmid"] for each in made}) == 16


def test_an_id_that_went_to_another_contract_says_that_ours_is_gone(rig: ProxmoxRig) -> None:
    first, second = new_spec(rig), new_spec(rig)
    one, two = (running(rig, rig.driver(), each) for each in (first, second))
    old, new = rig.guest(first.contract), rig.guest(second.contract)
    del rig.cloud.guests[new.vmid]
    rig.cloud.guests[old.vmid] = new
    new.vmid = old.vmid
    assert rig.driver().inspect(handle_of(one), first.contract).state is Observed.ABSENT
    assert rig.driver().destroy(handle_of(one), first.contract).state is Observed.ABSENT
    assert rig.cloud.guests[old.vmid] is new
    assert two.attempt == "first"


def test_a_machine_that_lost_its_marks_is_neither_gone_nor_touched(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    guest = rig.guest(spec.contract)
    guest.config["tags"], guest.config["description"] = "", ""
    with pytest.raises(Broken):
        rig.driver().inspect(handle_of(made), spec.contract)
    with pytest.raises(Rejected):
        rig.driver().destroy(handle_of(made), spec.contract)
    assert guest.running


def test_a_machine_is_found_on_the_node_it_was_moved_to(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    rig.guest(spec.contract).node = "pve2"
    rig.cloud.acl = None
    read = rig.driver().inspect(handle_of(made), spec.contract)
    assert (read.state, handle_of(read).data["node"]) == (Observed.RUNNING, "pve2")
    assert [each.contract for each in rig.driver().list_owned()] == [spec.contract]


def test_tags_that_the_provider_adds_stay(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    rig.cloud.slow_address = 2
    made = rig.driver().create(spec)
    rig.guest(spec.contract).config["tags"] += ";rack-7"
    settled(rig, rig.driver(), made)
    tags = rig.guest(spec.contract).config["tags"].split(";")
    assert "rack-7" in tags
    assert any(each.startswith("dch-") for each in tags)


# --- halves ---


def half_made(rig: ProxmoxRig) -> InstanceSpec:
    spec = new_spec(rig)
    rig.inject(Act.CREATE, Fault.PARTIAL)
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    assert (rig.count(spec.contract), rig.driver().list_owned()) == (1, ())
    return spec


def test_a_half_is_finished_with_the_secrets_of_the_attempt_that_does_it(rig: ProxmoxRig) -> None:
    spec = half_made(rig)
    second = new_spec(rig, spec.contract, attempt="second")
    made = running(rig, rig.driver(), second)
    assert (made.attempt, rig.seen_host_key(made)) == ("second", second.host_key.public)
    assert rig.count(spec.contract) == 1


def test_a_half_that_nobody_finishes_is_removed_in_time_and_no_other_is(rig: ProxmoxRig) -> None:
    spec = half_made(rig)
    rig.foreign(20_500, "dc-somebody")
    rig.wait(16 * 60)
    rig.driver(f"{rig.platform}-other").list_owned()
    assert rig.count(spec.contract) == 1
    assert rig.driver().list_owned() == ()
    assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)
    assert 20_500 in rig.cloud.guests


def test_a_half_beside_a_complete_machine_goes_without_it(rig: ProxmoxRig) -> None:
    spec = half_made(rig)
    half = dataclasses.replace(rig.guest(spec.contract), vmid=29_999)
    half.config = dict(half.config)
    made = running(rig, rig.driver(), spec)
    rig.cloud.guests[29_999] = half
    rig.wait(16 * 60)
    rig.driver().list_owned()
    assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (1, 1)
    rig.cloud.guests[29_999] = half
    assert rig.driver().create(spec).handle == made.handle
    assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (1, 1)


def test_what_a_clone_inherits_from_its_template_stands_in_no_way(rig: ProxmoxRig) -> None:
    template = rig.cloud.guests[9000].config
    template["tags"], template["protection"] = "golden", "1"
    half = half_made(rig)
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    assert "golden" in rig.guest(spec.contract).config["tags"].split(";")
    rig.wait(16 * 60)
    assert [each.contract for each in rig.driver().list_owned()] == [spec.contract]
    assert rig.count(half.contract) == 0
    assert removed(rig, rig.driver(), made).state is Observed.ABSENT


def test_two_halves_of_one_contract_become_one_machine(rig: ProxmoxRig) -> None:
    spec = half_made(rig)
    twin = dataclasses.replace(rig.guest(spec.contract), vmid=29_999)
    twin.config = dict(twin.config)
    rig.cloud.guests[29_999] = twin
    running(rig, rig.driver(), spec)
    assert rig.count(spec.contract) == 1


def test_a_change_by_others_at_the_last_moment_is_seen_and_tried_again(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)

    def meddle() -> None:
        rig.guest(spec.contract).config["onboot"] = "0"

    rig.cloud.then("GET", r"/qemu/2\d+/config$", meddle, skip=1)
    with pytest.raises(TryLater, match="modified"):
        rig.driver().create(spec)
    running(rig, rig.driver(), spec)
    assert rig.count(spec.contract) == 1


def test_a_destroy_cut_off_after_any_call_is_finished_by_the_next(rig: ProxmoxRig) -> None:
    cuts = [("POST", "/status/stop$"), ("DELETE", "/content/"), ("DELETE", r"/qemu/\d+$")]
    for method, path in cuts:
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        rig.cloud.lose_answer(method, path)
        with pytest.raises(TryLater):
            rig.driver().destroy(handle_of(made), spec.contract)
        assert removed(rig, rig.driver(), made).state is Observed.ABSENT
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)


@pytest.mark.parametrize("cut", ["/clone$", "/resize$", "/upload$", "/config$", "/status/start$"])
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "dropped"])
def test_a_create_cut_off_at_any_call_ends_in_one_machine(
    rig: ProxmoxRig, cut: str, lost: bool
) -> None:
    spec = new_spec(rig)
    for method in ("POST", "PUT"):
        (rig.cloud.lose_answer if lost else rig.cloud.drop_call)(method, cut)
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    made = settled(rig, rig.driver(), patiently(rig, lambda: rig.driver().create(spec)))
    assert rig.seen_host_key(made) == spec.host_key.public
    assert rig.count(spec.contract) == 1


@pytest.mark.parametrize(
    ("task", "outcome", "error"),
    [
        ("qmclone", "clone failed: no space left on device", NoCapacity),
        ("qmclone", "clone failed: command 'qemu-img' died", Broken),
        ("resize", "not enough free space in pool", NoCapacity),
        (
            "imgcopy",
            "Permission check failed (/storage/local, Datastore.AllocateTemplate)",
            AuthFailed,
        ),
        ("qmstart", "start failed: Cannot allocate memory", NoCapacity),
    ],
)
def test_a_failed_task_means_what_its_text_says_and_a_refusal_leaves_nothing(
    rig: ProxmoxRig, task: str, outcome: str, error: type[DriverError]
) -> None:
    spec = new_spec(rig)
    rig.cloud.task_fails[task] = outcome
    with pytest.raises(error):
        rig.driver().create(spec)
    assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)


def test_a_task_that_ends_with_warnings_went_well(rig: ProxmoxRig) -> None:
    rig.cloud.task_fails["imgdel"] = "WARNINGS: 1"
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    assert removed(rig, rig.driver(), made).state is Observed.ABSENT


def test_a_template_that_is_gone_or_none_is_said_to_be(rig: ProxmoxRig) -> None:
    rig.cloud.guests[9000].config["template"] = "0"
    with pytest.raises(Rejected, match="no template"):
        rig.driver().create(new_spec(rig))
    del rig.cloud.guests[9000]
    with pytest.raises(Rejected, match="gone"):
        rig.driver().create(new_spec(rig))
    failed = [each.name for each in rig.driver().probe().checks if not each.passed]
    assert failed == ["template debian-12"]


def test_a_disk_smaller_than_the_templates_is_refused(rig: ProxmoxRig) -> None:
    spec = new_spec(rig, disk_gib=2)
    with pytest.raises(Rejected, match="3 GiB"):
        rig.driver().create(spec)
    assert rig.count(spec.contract) == 0


def test_no_free_id_is_no_capacity(rig: ProxmoxRig) -> None:
    driver = rig.driver(first_vmid=20_000, last_vmid=20_000)
    running(rig, driver, new_spec(rig))
    with pytest.raises(NoCapacity, match="20000"):
        driver.create(new_spec(rig))


def test_a_protected_machine_is_not_removed(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    rig.guest(spec.contract).config["protection"] = "1"
    with pytest.raises(Rejected, match="protection"):
        rig.driver().destroy(handle_of(made), spec.contract)


def test_a_wrong_token_is_said_to_be_wrong(rig: ProxmoxRig, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(0o600)
    for text, words in ((TOKEN[:-1], "no such token"), ("secret", "user@realm!name")):
        other.write_text(text)
        driver = rig.driver(token_file=str(other))
        with pytest.raises(AuthFailed, match=words):
            driver.create(new_spec(rig))
        failed = [each for each in driver.probe().checks if not each.passed]
        assert [(each.name, bool(each.cure)) for each in failed] == [("token", True)]


def test_another_cluster_has_another_fingerprint(rig: ProxmoxRig) -> None:
    before = rig.driver().scope()
    rig.cloud.root_ca = "CC:" * 31 + "03"
    assert rig.driver().scope() != before


def test_a_reset_goes_as_a_hash_and_needs_the_agent_and_the_user(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    handle = handle_of(running(rig, driver, spec))
    secret = new_password()
    driver.reset_password(handle, spec.contract, "root", secret)
    (call,) = rig.cloud.asked("POST", "/set-user-password$")
    assert (call.body["crypted"], call.body["password"][:3]) == ("1", "$6$")
    with pytest.raises(Rejected):
        driver.reset_password(handle, spec.contract, "nobody", secret)
    rig.cloud.agent_down.add(rig.guest(spec.contract).vmid)
    with pytest.raises(TryLater):
        driver.reset_password(handle, spec.contract, "root", secret)

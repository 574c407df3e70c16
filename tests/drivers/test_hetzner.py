"""The Hetzner driver keeps the kit on a fake that is judged by Hetzner's own document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.agent.backend import same
from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_host_key,
    new_plan,
    new_spec,
    removed,
    running,
)
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    LABEL_PLATFORM,
    AuthFailed,
    Broken,
    DriverError,
    Handle,
    NoCapacity,
    Rejected,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.hetzner.mapping import MARK_NAME, month_start_ms
from decent_cloud.kernel.clock import DAY_MS, MINUTE_MS
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import Observed
from tests.drivers.hetzner_rig import HetznerRig
from tests.support.clouds.hetzner import READ_ONLY, HetznerCloud, Record, refusal
from tests.support.clouds.server import Answer, serving_cloud

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[HetznerRig]:
    with serving_cloud(HetznerCloud()) as cloud:
        made = HetznerRig(cloud, tmp_path)
        yield made
        made.close()


class TestHetznerDriver(ConformanceSuite):
    """Runs the kit."""


# --- what is ordered ---


def only(cloud: HetznerCloud) -> Record:
    (server,) = cloud.servers.values()
    return server


def test_labels_hold_no_secret_and_the_platform_as_a_digest(rig: HetznerRig) -> None:
    spec = new_spec(rig)
    rig.driver().create(spec)
    labels = only(rig.cloud)["labels"]
    assert len(labels[LABEL_PLATFORM]) == 40
    assert labels["dev.decent.contract"] == spec.contract
    said = json.dumps(labels) + only(rig.cloud)["name"]
    assert spec.password.reveal() not in said
    assert spec.host_key.seed_hex.reveal() not in said


def test_the_machine_takes_the_tenants_and_the_management_key(rig: HetznerRig) -> None:
    management = SshKey.parse(new_host_key().public)
    made = running(rig, rig.driver(), new_spec(rig, management_key=management))
    (root,) = rig.config(made)["users"]
    assert len(root["ssh_authorized_keys"]) == 2
    assert root["ssh_authorized_keys"][1].startswith(management.line())


def test_hetzner_makes_no_password_and_no_key_but_the_tenants_comes_into_the_machine(
    rig: HetznerRig,
) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    assert rig.cloud.mailed == []
    (key,) = rig.cloud.keys.values()
    config = rig.config(made)
    assert config["allow_public_ssh_keys"] is False
    assert key["public_key"].split()[1] not in json.dumps(config)
    assert key["public_key"].endswith(" decent-project")
    assert "/ decent-project$/d" in config["runcmd"][0][2]


def test_the_cheapest_type_that_gives_all_and_fits_the_image_is_ordered(rig: HetznerRig) -> None:
    driver = rig.driver(images={"debian-12": "debian-12", "ubuntu": "ubuntu-24.04"})
    driver.create(new_spec(rig))
    assert only(rig.cloud)["server_type"]["name"] == "cax11"
    rig.cloud.servers.clear()
    driver.create(new_spec(rig, image="ubuntu"))
    assert only(rig.cloud)["server_type"]["name"] == "cpx22"
    rig.cloud.servers.clear()
    driver.create(new_spec(rig, image="ubuntu", memory_mib=2_048))
    assert only(rig.cloud)["server_type"]["name"] == "cpx11"


def test_the_offering_may_pin_type_and_location(rig: HetznerRig) -> None:
    pinned = {"server_type": "cpx22", "location": "fsn1", "user": "root"}
    rig.driver().create(new_spec(rig, settings=pinned))
    server = only(rig.cloud)
    assert (server["server_type"]["name"], server["location"]["name"]) == ("cpx22", "fsn1")


def test_what_sells_out_after_the_catalogue_was_read_is_tried_elsewhere(rig: HetznerRig) -> None:
    rig.cloud.fail("POST", "/servers$", refusal("resource_unavailable"))
    rig.driver().create(new_spec(rig))
    assert only(rig.cloud)["location"]["name"] == "fsn1"
    assert len(rig.cloud.asked("POST", "/servers$")) == 2


def test_a_full_account_is_no_capacity(rig: HetznerRig) -> None:
    rig.cloud.most_servers = 0
    with pytest.raises(NoCapacity, match="resource_limit_exceeded"):
        rig.driver().create(new_spec(rig))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image": "windows"}, "not in the driver's settings"),
        ({"image": "old"}, "no longer offered"),
        ({"image": "gone"}, "not known"),
        ({"settings": {"server_type": "cpx11"}}, "cpx11 gives"),
        ({"settings": {"server_type": "cpx99"}}, "no server type 'cpx99'"),
        ({"settings": {"location": "moon"}}, "no location 'moon'"),
        ({"settings": {"colour": "red"}}, "no offering setting 'colour'"),
        ({"image": "ubuntu", "settings": {"server_type": "cax11"}}, "cax11 is arm"),
        ({"cpu_milli": 64_000}, "no server type of the driver's settings gives"),
    ],
)
def test_what_cannot_be_made_is_found_by_the_check_and_refused_at_rent_time(
    rig: HetznerRig, wrong: dict[str, Any], said: str
) -> None:
    images = {"debian-12": "debian-12", "ubuntu": "ubuntu-24.04", "old": "old-linux", "gone": "x"}
    driver = rig.driver(images=images)
    (check,) = driver.check_plan(new_plan(rig, **wrong))
    assert not check.passed
    assert said in check.detail
    assert check.cure
    with pytest.raises(Rejected, match=said):
        driver.create(new_spec(rig, **wrong))
    assert rig.cloud.servers == {}


def test_types_outside_the_settings_are_never_ordered(rig: HetznerRig) -> None:
    driver = rig.driver(server_types=["cpx22"])
    with pytest.raises(Rejected, match="not among"):
        driver.create(new_spec(rig, settings={"server_type": "cax11"}))
    driver.create(new_spec(rig))
    assert only(rig.cloud)["server_type"]["name"] == "cpx22"


def test_first_start_data_that_is_too_long_orders_nothing(rig: HetznerRig) -> None:
    with pytest.raises(Rejected, match="32768"):
        rig.driver().create(new_spec(rig, user_data="#!/bin/sh\n" + "#" * 32_768))
    assert rig.cloud.asked("POST", "/servers$") == []


# --- slow and failing machines ---


def test_a_making_that_failed_is_named_and_made_anew_by_the_next_create(rig: HetznerRig) -> None:
    spec = new_spec(rig)
    rig.cloud.failing["create_server"] = "resource_unavailable"
    driver = rig.driver()
    made = driver.create(spec)
    rig.wait(300)
    seen = driver.inspect(handle_of(made), spec.contract)
    assert seen.state is Observed.CREATING
    assert "create_server failed: resource_unavailable" in seen.detail
    rig.cloud.failing.clear()
    with pytest.raises(TryLater, match="removed first"):
        driver.create(spec)
    again = running(rig, driver, spec)
    assert again.handle != made.handle
    assert rig.count(spec.contract) == 1


def test_a_server_that_goes_is_not_adopted(rig: HetznerRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    made = running(rig, driver, spec)
    rig.cloud.deletion_ms = MINUTE_MS
    assert driver.destroy(handle_of(made), spec.contract).state is Observed.DELETING
    with pytest.raises(TryLater, match="still being removed"):
        driver.create(spec)
    removed(rig, driver, made)


def test_power_is_cut_where_a_machine_does_not_shut_down(rig: HetznerRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    rig.cloud.deaf_to_shutdown = True
    assert driver.stop(handle_of(made), made.contract).state is Observed.STOPPED
    assert rig.cloud.asked("POST", "/actions/poweroff$")


def test_a_reset_without_a_guest_agent_says_what_is_missing(rig: HetznerRig) -> None:
    driver = rig.driver()
    spec = new_spec(rig)
    made = running(rig, driver, spec)
    rig.cloud.guest_agent = False
    with pytest.raises(Rejected, match="qemu-guest-agent"):
        driver.reset_password(handle_of(made), made.contract, "root", spec.password)
    with pytest.raises(Rejected, match="root only"):
        driver.reset_password(handle_of(made), made.contract, "ada", spec.password)
    driver.stop(handle_of(made), made.contract)
    with pytest.raises(TryLater, match="must run"):
        driver.reset_password(handle_of(made), made.contract, "root", spec.password)


def test_traffic_is_the_months(rig: HetznerRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    only(rig.cloud).update(ingoing_traffic=7, outgoing_traffic=9)
    traffic = driver.meter(handle_of(made), made.contract)
    assert (traffic.received_bytes, traffic.sent_bytes) == (7, 9)
    assert traffic.since_ms == made.created_at_ms
    rig.wait(40 * DAY_MS // 1_000)
    later = driver.meter(handle_of(made), made.contract)
    assert later.since_ms == month_start_ms(rig.cloud.clock.now_ms()) > made.created_at_ms


def test_a_protected_server_is_left_to_who_protected_it(rig: HetznerRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    only(rig.cloud)["protection"]["delete"] = True
    with pytest.raises(Rejected, match="protected"):
        driver.destroy(handle_of(made), made.contract)
    assert rig.count(made.contract) == 1


# --- who answered ---


def test_a_project_keeps_its_fingerprint_and_another_has_its_own(
    rig: HetznerRig, tmp_path: Path
) -> None:
    assert rig.driver().scope() == rig.driver("another platform").scope()
    (tmp_path / "other").mkdir()
    with serving_cloud(HetznerCloud()) as cloud:
        other = HetznerRig(cloud, tmp_path / "other")
        assert other.driver().scope() != rig.driver().scope()
        other.close()


@pytest.mark.parametrize("unique", [True, False])
def test_two_agents_that_look_at_a_new_project_at_once_agree(rig: HetznerRig, unique: bool) -> None:
    rig.cloud.unique_keys = unique
    first, second = rig.driver(), rig.driver()
    rig.cloud.then("GET", "/ssh_keys$", lambda: seen.append(second.scope()))
    seen: list[str] = []
    assert [first.scope()] == seen
    assert first.scope() == second.scope()
    assert len(rig.cloud.keys) == (1 if unique else 2)


def test_without_its_mark_a_project_is_not_believed_to_be_the_same(rig: HetznerRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    rig.cloud.keys.clear()
    rig.vanish(made.contract)
    assert driver.inspect(handle_of(made), made.contract).scope != made.scope


def test_a_mark_without_its_label_is_broken(rig: HetznerRig) -> None:
    driver = rig.driver()
    driver.scope()
    (key,) = rig.cloud.keys.values()
    assert key["name"] == MARK_NAME
    key["labels"] = {}
    with pytest.raises(Broken, match="lacks the label"):
        driver.scope()


def test_a_404_that_is_not_hetzners_is_no_evidence(rig: HetznerRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    rig.cloud.fail("GET", r"/servers/\d+$", Answer(404, {"detail": "x"}, judged=False), times=2)
    with pytest.raises(Broken, match="404"):
        driver.inspect(handle_of(made), made.contract)
    with pytest.raises(Broken, match="404"):
        driver.destroy(handle_of(made), made.contract)
    assert rig.count(made.contract) == 1


def test_a_server_without_our_labels_is_neither_read_as_ours_nor_touched(rig: HetznerRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    only(rig.cloud)["labels"] = {}
    with pytest.raises(Broken, match="labels"):
        driver.inspect(handle_of(made), made.contract)
    for act in (driver.destroy, driver.stop, driver.start):
        with pytest.raises(Rejected):
            act(handle_of(made), made.contract)
    assert only(rig.cloud)["status"] == "running"


# --- lists ---


def test_lists_have_all_pages_even_if_something_goes_in_between(rig: HetznerRig) -> None:
    labels = {LABEL_PLATFORM: "", "dev.decent.contract": "c", "dev.decent.attempt": "a"}
    driver = rig.driver()
    driver.create(new_spec(rig))
    labels[LABEL_PLATFORM] = only(rig.cloud)["labels"][LABEL_PLATFORM]
    added = [rig.cloud.put_in(f"s{number}", labels)["id"] for number in range(60)]
    rig.cloud.then("GET", "/servers$", lambda: rig.cloud.servers.pop(added[0]))
    seen = {handle_of(each).data["id"] for each in driver.list_owned()}
    assert seen == {str(each) for each in rig.cloud.servers}
    assert len(seen) == 60


# --- credentials, permissions, limits ---


def test_a_probe_orders_nothing_and_passes(rig: HetznerRig) -> None:
    driver = rig.driver()
    probe = driver.probe()
    assert probe.passed, probe.checks
    assert probe.scope == driver.scope()
    assert rig.cloud.asked("POST", "/servers$") == []
    assert driver.probe() is probe


@pytest.mark.parametrize("token", ["wrong", READ_ONLY])
def test_a_token_that_does_not_do_is_named_with_its_permission(rig: HetznerRig, token: str) -> None:
    rig.driver().scope()
    driver = rig.driver(token=token)
    with pytest.raises(AuthFailed, match="Read & Write"):
        driver.create(new_spec(rig))
    failed = [each for each in driver.probe().checks if not each.passed]
    assert [each.name for each in failed] == ["token" if token == "wrong" else "permission"]
    assert "Read & Write" in failed[0].cure


def test_a_token_file_that_is_missing_empty_or_open_is_said(
    rig: HetznerRig, tmp_path: Path
) -> None:
    for path in (tmp_path / "none", tmp_path / "empty"):
        driver = rig.driver(token_file=str(path))
        (tmp_path / "empty").touch()
        with pytest.raises(AuthFailed, match="token"):
            driver.scope()
        assert not driver.probe().passed
    driver = rig.driver()
    token = tmp_path / "token-2"
    token.chmod(0o644)
    (failed,) = [each for each in driver.probe().checks if not each.passed]
    assert failed.cure == f"chmod 600 {token}"


def test_a_closed_driver_stays_closed(rig: HetznerRig) -> None:
    driver = rig.driver()
    driver.scope()
    driver.close()
    with pytest.raises(TryLater, match="closed"):
        driver.scope()


def test_a_handle_is_the_id_alone_and_an_older_one_with_a_name_is_read(rig: HetznerRig) -> None:
    driver, spec = rig.driver(), new_spec(rig)
    handle = handle_of(running(rig, driver, spec))
    assert set(handle.data) == {"id"}
    older = Handle("hetzner", {**handle.data, "name": spec.name})
    assert driver.inspect(older, spec.contract).state is Observed.RUNNING
    assert same(older, handle)
    assert not same(older, Handle("hetzner", {"id": "7"}))
    assert not same(older, Handle("vultr", dict(handle.data)))


def test_every_misfit_has_a_cure_of_its_own(rig: HetznerRig) -> None:
    driver = rig.driver(images={"debian-12": "debian-12", "ubuntu": "ubuntu-24.04"})
    cures = set()
    misfits: tuple[dict[str, Any], ...] = (
        {"image": "windows"},
        {"settings": {"server_type": "cpx99"}},
        {"settings": {"location": "moon"}},
        {"settings": {"colour": "red"}},
        {"image": "ubuntu", "settings": {"server_type": "cax11"}},
        {"cpu_milli": 64_000},
    )
    for wrong in misfits:
        (check,) = driver.check_plan(new_plan(rig, **wrong))
        cures.add(check.cure)
    rig.cloud.sell_out()
    rig.wait(60)
    (check,) = driver.check_plan(new_plan(rig))
    assert "sold out" in check.detail
    assert len({*cures, check.cure}) == len(misfits) + 1


def test_names_in_the_settings_that_hetzner_does_not_have_fail_the_probe(rig: HetznerRig) -> None:
    driver = rig.driver(images={"a": "no-such"}, locations=["moon"], server_types=["huge"])
    failed = {each.name for each in driver.probe().checks if not each.passed}
    assert failed == {"images", "locations", "server_types"}


def test_a_used_up_budget_is_waited_for_and_never_overdrawn(rig: HetznerRig) -> None:
    rig.cloud.limit = 3
    rig.cloud.clock.tick_ms = 10
    driver = rig.driver()
    for _ in range(10):
        driver.scope()
    assert len(rig.cloud.asked("GET", "/ssh_keys")) == 11  # the first reads its mark again
    rig.cloud.fail("GET", "/ssh_keys$", refusal("rate_limit_exceeded"))
    with pytest.raises(TryLater) as refused:
        driver.scope()
    assert refused.value.after_s == 5
    asked = len(rig.cloud.calls)
    with pytest.raises(TryLater):
        driver.scope()
    assert len(rig.cloud.calls) == asked


def test_no_error_shows_the_token_or_the_first_start_data(rig: HetznerRig) -> None:
    spec = new_spec(rig)
    for code in ("invalid_input", "unauthorized", "server_error", "resource_limit_exceeded"):
        rig.cloud.fail("POST", "/servers$", refusal(code), times=2)
        with pytest.raises(DriverError) as refused:
            rig.driver().create(spec)
        said = f"{refused.value!r} {refused.value.details}"
        assert "t" * 64 not in said
        assert "OPENSSH" not in said
        rig.cloud.faults.clear()


def test_settings_are_checked_by_name() -> None:
    for wrong in ({}, {"token_file": "x", "images": {}}, {"token_file": "x", "locations": []}):
        with pytest.raises(Invalid):
            registry.load("hetzner", wrong, "platform")
    driver = registry.load("hetzner", {"token_file": "/nowhere"}, "platform")
    assert driver.describe().name == "hetzner"
    driver.close()

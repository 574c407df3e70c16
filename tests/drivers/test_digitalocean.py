"""The DigitalOcean driver keeps the kit on a fake that is judged by DigitalOcean's own document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.drivers.conformance.rig import Act, Fault
from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_plan,
    new_spec,
    patiently,
    removed,
    running,
    settled,
    until,
)
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    Observation,
    Rejected,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.digitalocean.driver import DigitalOceanDriver
from decent_cloud.drivers.digitalocean.mapping import contract_tag, platform_tag
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import Observed
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.support.clouds.digitalocean import TEAM, TOKEN, DigitalOceanCloud, refusal
from tests.support.clouds.server import Answer, serving_cloud

pytestmark = pytest.mark.slow

SCOPES = frozenset(
    {
        "account:read",
        "droplet:create",
        "droplet:read",
        "droplet:update",
        "droplet:delete",
        "tag:create",
        "tag:read",
        "image:read",
        "regions:read",
        "sizes:read",
        "ssh_key:create",
        "ssh_key:read",
    }
)

MANAGEMENT_KEY = SshKey.parse(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DigitalOceanRig]:
    with serving_cloud(DigitalOceanCloud()) as cloud:
        made = DigitalOceanRig(cloud, tmp_path)
        yield made
        made.close()


class TestDigitalOceanDriver(ConformanceSuite):
    """Runs the kit."""


# --- one machine, though nothing is unique ---


def test_of_two_droplets_the_oldest_is_kept_and_the_other_named_and_left(
    rig: DigitalOceanRig,
) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    tags = rig.cloud.droplets[number_of(made)]["tags"]
    twin = rig.cloud.put_in(spec.name, tags)
    twin["created_at"] = rig.cloud.clock.rfc3339()
    again = rig.driver().create(spec)
    assert again.handle == made.handle
    assert str(twin["id"]) in again.detail
    assert [number_of(each) for each in rig.driver().list_owned(spec.contract)] == [
        number_of(made),
        twin["id"],
    ]
    removed(rig, rig.driver(), made)
    assert list(rig.cloud.droplets) == [twin["id"]]


def test_what_an_order_made_is_not_made_again_while_lists_lag(rig: DigitalOceanRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    rig.cloud.list_lag_ms = 8 * SECOND_MS
    rig.cloud.lose_answer("POST", r"/droplets$")
    for _ in range(3):
        with pytest.raises(TryLater):
            driver.create(spec)
    assert settled(rig, driver, patiently(rig, lambda: driver.create(spec))).attempt == "first"
    assert (rig.count(spec.contract), len(rig.cloud.asked("POST", r"/droplets$"))) == (1, 1)


def test_a_droplet_whose_tags_are_yet_to_come_is_found_by_its_name(rig: DigitalOceanRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    rig.cloud.tags_late_ms = 40 * SECOND_MS
    rig.cloud.lose_answer("POST", r"/droplets$")
    with pytest.raises(TryLater):
        driver.create(spec)
    rig.wait(20)
    with pytest.raises(TryLater, match="no tags yet"):
        driver.create(spec)
    rig.wait(30)
    assert driver.create(spec).attempt == "first"
    assert rig.count(spec.contract) == 1


def test_a_refused_call_too_many_is_no_doubt(rig: DigitalOceanRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver(read_lag_s=600)
    rig.inject(Act.CREATE, Fault.RATE_LIMITED)
    with pytest.raises(TryLater) as refusal:
        driver.create(spec)
    rig.wait(refusal.value.after_s)
    assert driver.create(spec).handle is not None


def test_what_is_unlike_a_tag_is_tagged_by_its_digest(rig: DigitalOceanRig) -> None:
    spec = new_spec(rig, attempt="Über.Versuch", platform="Example.Org")
    driver = rig.driver("Example.Org")
    seen = running(rig, driver, spec)
    assert [each.handle for each in driver.list_owned()] == [seen.handle]
    assert all(
        re.fullmatch(r"[a-z0-9:-]+", each) for each in rig.cloud.droplets[number_of(seen)]["tags"]
    )


def test_a_listed_droplet_that_cannot_be_read_is_not_gone(rig: DigitalOceanRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.fail("GET", r"/droplets/\d+$", refusal("not_found"))
    with pytest.raises(TryLater, match="listed"):
        rig.driver().inspect(handle_of(made), made.contract)


def test_a_404_that_is_not_digitaloceans_is_no_evidence(rig: DigitalOceanRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    for body in (None, {"message": "no route"}):
        rig.cloud.fail("GET", r"/droplets/\d+$", Answer(404, body, judged=False))
        with pytest.raises(Broken):
            rig.driver().inspect(handle_of(made), made.contract)


def test_another_account_that_knows_nothing_is_told_apart(rig: DigitalOceanRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.droplets.clear()
    rig.cloud.account["team"] = {"uuid": "0" * 40, "name": "Other"}
    read = rig.driver().inspect(handle_of(made), made.contract)
    assert read.state is Observed.ABSENT
    assert read.scope != made.scope


def test_lists_have_all_pages_even_if_something_goes_in_between(rig: DigitalOceanRig) -> None:
    driver = rig.driver()
    tags = [platform_tag(rig.platform), contract_tag("c")]
    added = [rig.cloud.put_in(f"s{number}", tags)["id"] for number in range(205)]
    rig.cloud.then("GET", r"/droplets$", lambda: rig.cloud.droplets.pop(added[0]))
    seen = {number_of(each) for each in driver.list_owned()}
    assert seen == set(rig.cloud.droplets)
    assert len(seen) == 204


# --- what is ordered ---


def test_the_cheapest_size_that_gives_all_is_ordered(rig: DigitalOceanRig) -> None:
    running(rig, rig.driver(), new_spec(rig))
    (call,) = rig.cloud.asked("POST", r"/droplets$")
    assert (call.body["size"], call.body["region"]) == ("s-2vcpu-4gb", "fra1")


def test_the_offering_may_pin_size_and_region(rig: DigitalOceanRig) -> None:
    settings = {"size": "s-4vcpu-8gb", "region": "nyc3", "user": "root"}
    rig.driver().create(new_spec(rig, settings=settings))
    (call,) = rig.cloud.asked("POST", r"/droplets$")
    assert (call.body["size"], call.body["region"]) == ("s-4vcpu-8gb", "nyc3")


def test_what_sells_out_after_the_catalogue_was_read_is_tried_elsewhere(
    rig: DigitalOceanRig,
) -> None:
    driver = rig.driver()
    driver.check_plan(new_plan(rig))
    rig.cloud.sell_out("fra1")
    driver.create(new_spec(rig))
    regions = [call.body["region"] for call in rig.cloud.asked("POST", r"/droplets$")]
    assert regions == ["fra1", "ams3"]


def test_the_accounts_limit_of_droplets_is_no_capacity(rig: DigitalOceanRig) -> None:
    rig.cloud.account["droplet_limit"] = 0
    with pytest.raises(NoCapacity, match="droplet limit"):
        rig.driver().create(new_spec(rig))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image": "windows"}, "known: debian-12"),
        ({"settings": {"size": "s-nothing"}}, "no size 's-nothing'"),
        ({"settings": {"region": "mars1"}}, "no region 'mars1'"),
        ({"settings": {"size": "s-1vcpu-1gb"}}, "gives 2000 mCPU"),
        ({"settings": {"flavour": "x"}}, "no offering setting 'flavour'"),
        ({"disk_gib": 9_999}, "9999 GiB"),
    ],
)
def test_what_cannot_be_made_is_found_by_the_check_and_refused_at_rent_time(
    rig: DigitalOceanRig, change: dict[str, Any], named: str
) -> None:
    driver = rig.driver()
    (check,) = driver.check_plan(new_plan(rig, **change))
    assert named in check.detail
    assert check.cure
    with pytest.raises(Rejected, match=re.escape(named)):
        driver.create(new_spec(rig, **change))
    assert rig.cloud.asked("POST", r"/droplets$") == []


@pytest.mark.parametrize("slug", ["old-linux-x64", "none-such"])
def test_an_image_that_digitalocean_no_longer_has_is_refused(
    rig: DigitalOceanRig, slug: str
) -> None:
    driver = rig.driver(images={"debian-12": slug})
    with pytest.raises(Rejected, match=slug):
        driver.create(new_spec(rig))
    assert not driver.check_plan(new_plan(rig))[0].passed


def test_an_image_is_ordered_only_where_it_is_held_and_fits(rig: DigitalOceanRig) -> None:
    rig.cloud.images[0]["regions"] = ["ams3"]
    rig.driver().create(new_spec(rig))
    assert rig.cloud.asked("POST", r"/droplets$")[0].body["region"] == "ams3"
    rig.cloud.images[0]["min_disk_size"] = 500
    with pytest.raises(Rejected, match="needs a disk of 500 GiB"):
        rig.driver().create(new_spec(rig))


def test_first_start_data_that_is_too_long_orders_nothing(rig: DigitalOceanRig) -> None:
    with pytest.raises(Rejected, match="65536"):
        rig.driver().create(new_spec(rig, user_data="#!/bin/sh\n" + "x" * 65_536))
    assert rig.cloud.droplets == {}


def test_the_machine_gets_host_key_password_and_the_keys_of_tenant_and_agent(
    rig: DigitalOceanRig,
) -> None:
    spec = new_spec(rig, management_key=MANAGEMENT_KEY)
    seen = running(rig, rig.driver(), spec)
    assert rig.seen_host_key(seen) == spec.host_key.public
    assert rig.takes_password(seen, "root", spec.password)
    (root,) = rig.config(seen)["users"]
    assert [line.split()[1] for line in root["ssh_authorized_keys"]] == [
        each.line().split()[1] for each in (*spec.ssh_keys, MANAGEMENT_KEY)
    ]


def test_every_order_names_the_accounts_one_key_so_that_no_root_password_is_mailed(
    rig: DigitalOceanRig,
) -> None:
    for driver in (rig.driver(), rig.driver()):
        seen = running(rig, driver, new_spec(rig))
        config = rig.config(seen)
        assert config["allow_public_ssh_keys"] is False
        assert config["runcmd"][0].startswith("sed -i '/ decent-account$/d' /root/")
    (key,) = rig.cloud.keys.values()
    assert key["public_key"].startswith("ssh-ed25519 ")
    assert key["public_key"].endswith(" decent-account")
    assert list(rig.cloud.named_keys.values()) == [[key["public_key"]]] * 2
    assert rig.cloud.mailed == {}


def test_a_key_whose_making_lost_its_answer_is_found_and_not_made_twice(
    rig: DigitalOceanRig,
) -> None:
    rig.cloud.lose_answer("POST", "/account/keys$")
    driver, spec = rig.driver(), new_spec(rig)
    with pytest.raises(TryLater):
        driver.create(spec)
    assert rig.count(spec.contract) == 0
    running(rig, driver, spec)
    assert len(rig.cloud.keys) == 1


def test_the_offerings_own_part_comes_after_ours(rig: DigitalOceanRig) -> None:
    seen = rig.driver().create(new_spec(rig, user_data="#!/bin/sh\necho hello\n"))
    text = rig.first_start_data(seen)
    assert 0 < text.index("#cloud-config") < text.index("echo hello")


# --- what goes wrong later ---


def test_a_making_that_failed_is_named_and_made_anew_by_the_next_create(
    rig: DigitalOceanRig,
) -> None:
    spec = new_spec(rig)
    rig.cloud.failing = {"create"}
    driver = rig.driver()
    made = driver.create(spec)
    rig.wait(300)
    seen = driver.inspect(handle_of(made), spec.contract)
    assert (seen.state, seen.detail) == (Observed.CREATING, "create failed at DigitalOcean")
    rig.cloud.failing = set()
    with pytest.raises(TryLater, match="removed first"):
        driver.create(spec)
    assert running(rig, driver, spec).handle != made.handle
    assert rig.count(spec.contract) == 1


def test_a_droplet_that_goes_is_not_adopted_and_not_asked_to_go_twice(
    rig: DigitalOceanRig,
) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    made = running(rig, driver, spec)
    rig.cloud.deletion_ms = MINUTE_MS
    for _ in range(2):
        assert driver.destroy(handle_of(made), spec.contract).state is Observed.DELETING
    assert driver.list_owned()[0].state is Observed.DELETING
    with pytest.raises(TryLater, match="still being removed"):
        driver.create(spec)
    removed(rig, driver, made)
    assert len(rig.cloud.asked("DELETE", "/droplets")) == 1


def test_a_removal_that_digitalocean_forgets_is_asked_for_again(rig: DigitalOceanRig) -> None:
    rig.cloud.forgets_deleting_new = True
    made = rig.driver().create(new_spec(rig))
    removed(rig, rig.driver(), made)
    assert len(rig.cloud.asked("DELETE", "/droplets")) > 1


def test_a_droplet_that_another_action_has_locked_is_waited_for(rig: DigitalOceanRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.action_ms = 5 * SECOND_MS
    rig.driver().stop(handle_of(made), made.contract)
    with pytest.raises(TryLater, match="locked by another action"):
        rig.driver().destroy(handle_of(made), made.contract)
    removed(rig, rig.driver(), made)


def test_power_is_cut_where_a_machine_does_not_shut_down(rig: DigitalOceanRig) -> None:
    rig.cloud.deaf_to_shutdown = True
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    until(rig, lambda: driver.stop(handle_of(made), made.contract), Observed.STOPPED)
    kinds = [call.body["type"] for call in rig.cloud.asked("POST", r"/actions$")]
    assert kinds == ["shutdown", "power_off"]


def test_an_action_that_errored_is_started_again(rig: DigitalOceanRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    rig.cloud.failing = {"shutdown"}
    until(rig, lambda: driver.stop(handle_of(made), made.contract), Observed.STOPPED)
    rig.cloud.failing = {"power_on"}
    driver.start(handle_of(made), made.contract)
    rig.wait(10)
    rig.cloud.failing = set()
    until(rig, lambda: driver.start(handle_of(made), made.contract), Observed.RUNNING)


def test_a_droplet_that_lost_its_tags_is_neither_read_as_ours_nor_touched(
    rig: DigitalOceanRig,
) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    rig.cloud.droplets[number_of(made)]["tags"] = []
    with pytest.raises(Broken, match="lost its tags"):
        driver.inspect(handle_of(made), made.contract)
    for touch in (driver.destroy, driver.stop, driver.start):
        with pytest.raises(Rejected):
            touch(handle_of(made), made.contract)
    assert number_of(made) in rig.cloud.droplets


# --- credentials, permissions, limits ---


def test_a_probe_makes_nothing_and_passes(rig: DigitalOceanRig) -> None:
    driver = rig.driver()
    probe = driver.probe()
    assert probe.passed, probe.checks
    assert probe.scope == driver.scope() == f"digitalocean:{TEAM}"
    assert driver.probe() is probe
    assert (rig.cloud.droplets, rig.cloud.actions) == ({}, [])


@pytest.mark.parametrize(
    "missing",
    [
        "account:read",
        "droplet:create",
        "droplet:read",
        "droplet:update",
        "droplet:delete",
        "tag:create",
        "image:read",
        "sizes:read",
        "regions:read",
        "ssh_key:create",
        "ssh_key:read",
    ],
)
def test_a_scope_that_the_token_lacks_is_named(rig: DigitalOceanRig, missing: str) -> None:
    rig.cloud.tokens["narrow"] = SCOPES - {missing}
    probe = rig.driver(token="narrow").probe()
    (failed,) = [each for each in probe.checks if not each.passed]
    assert missing in failed.detail
    assert missing in failed.cure


def test_a_token_that_does_not_see_tags_is_told_so_and_finds_nothing_absent(
    rig: DigitalOceanRig,
) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    rig.cloud.tokens["narrow"] = SCOPES - {"tag:read"}
    blind = rig.driver(token="narrow")
    for look in (blind.list_owned, lambda: blind.create(spec)):
        with pytest.raises(AuthFailed, match="tag:read"):
            look()
    with pytest.raises(Broken, match="tag:read"):
        blind.inspect(handle_of(made), spec.contract)
    assert rig.count(spec.contract) == 1


def test_a_scope_that_lacks_at_rent_time_is_named(rig: DigitalOceanRig) -> None:
    rig.cloud.tokens["narrow"] = SCOPES - {"droplet:create"}
    with pytest.raises(AuthFailed, match="droplet:create"):
        rig.driver(token="narrow").create(new_spec(rig))


def test_a_wrong_token_fails_the_probe_with_a_cure(rig: DigitalOceanRig) -> None:
    probe = rig.driver(token="wrong").probe()
    (failed,) = [each for each in probe.checks if not each.passed]
    assert (probe.scope, failed.name) == ("", "token")
    assert "control panel" in failed.cure


def test_a_locked_account_fails_the_probe(rig: DigitalOceanRig) -> None:
    rig.cloud.account.update(status="locked", status_message="payment")
    assert not rig.driver().probe().passed


def test_names_in_the_settings_that_digitalocean_does_not_have_fail_the_probe(
    rig: DigitalOceanRig,
) -> None:
    wrong: dict[str, Any] = {
        "images": {"a": "none-such"},
        "regions": ["mars1"],
        "sizes": ["s-nothing"],
    }
    checks = {each.name: each for each in rig.driver(**wrong).probe().checks}
    for name, word in (("images", "none-such"), ("regions", "mars1"), ("sizes", "s-nothing")):
        assert not checks[name].passed
        assert word in checks[name].detail
    rig.cloud.sell_out()
    stock = {each.name: each for each in rig.driver().probe().checks}["stock"]
    assert not stock.passed
    assert stock.cure


def test_a_used_up_budget_is_waited_for_and_never_overdrawn(rig: DigitalOceanRig) -> None:
    rig.cloud.limit = 20
    driver = rig.driver()
    for _ in range(rig.cloud.limit):
        driver.list_owned()
    with pytest.raises(TryLater) as refusal:
        driver.list_owned()
    assert 60 < refusal.value.after_s <= 3_600
    calls = len(rig.cloud.calls)
    assert calls <= rig.cloud.limit
    with pytest.raises(TryLater):
        driver.list_owned()
    assert len(rig.cloud.calls) == calls
    rig.wait(refusal.value.after_s)
    assert driver.list_owned() == ()


def test_no_error_shows_the_token_or_the_first_start_data(rig: DigitalOceanRig) -> None:
    for code in ("unprocessable_entity", "unauthorized", "server_error", "forbidden"):
        rig.cloud.fail("POST", r"/droplets$", refusal(code))
        with pytest.raises(DriverError) as refused:
            rig.driver().create(new_spec(rig))
        said = f"{refused.value!r} {refused.value.details}"
        assert TOKEN not in said
        assert "OPENSSH" not in said


def test_settings_are_checked_by_name() -> None:
    for wrong in ({}, {"token_file": "x", "images": {}}, {"token_file": "x", "regions": []}):
        with pytest.raises(Invalid):
            DigitalOceanDriver.from_settings(wrong, "platform")
    driver = DigitalOceanDriver.from_settings({"token_file": "/nowhere"}, "platform")
    with pytest.raises(AuthFailed, match="/nowhere"):
        driver.scope()
    assert driver.describe().name == "digitalocean"
    driver.close()


def number_of(seen: Observation) -> int:
    return int(handle_of(seen).data["id"])

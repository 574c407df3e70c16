"""The Vultr driver keeps the kit on a fake that is judged by Vultr's own document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_plan,
    new_spec,
    patiently,
    removed,
    running,
    settled,
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
    Traffic,
    TryLater,
)
from decent_cloud.drivers.vultr.driver import VultrDriver
from decent_cloud.drivers.vultr.mapping import contract_tag, platform_tag
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS, parse_rfc3339
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import Observed
from tests.drivers.vultr_rig import INSTANCE, VultrRig
from tests.support.clouds.server import Answer, serving_cloud
from tests.support.clouds.vultr import RIGHTS, TOKEN, VultrCloud, refusal

pytestmark = pytest.mark.slow

MANAGEMENT_KEY = SshKey.parse(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[VultrRig]:
    with serving_cloud(VultrCloud()) as cloud:
        made = VultrRig(cloud, tmp_path)
        yield made
        made.close()


class TestVultrDriver(ConformanceSuite):
    """Runs the kit."""


# --- one machine, though nothing is unique ---


def test_of_two_instances_the_oldest_is_kept_and_the_other_named_and_left(rig: VultrRig) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    twin = rig.cloud.put_in("renamed", rig.cloud.instances[number_of(made)]["tags"])
    twin["date_created"] = rig.cloud.clock.rfc3339()
    again = rig.driver().create(spec)
    assert again.handle == made.handle
    assert twin["id"] in again.detail
    seen = rig.driver().list_owned(spec.contract)
    assert [number_of(each) for each in seen] == [number_of(made), twin["id"]]
    removed(rig, rig.driver(), made)
    assert list(rig.cloud.instances) == [twin["id"]]


def test_what_an_order_made_is_not_made_again_while_lists_lag(rig: VultrRig) -> None:
    spec = new_spec(rig)
    driver = rig.driver()
    rig.cloud.list_lag_ms = 8 * SECOND_MS
    rig.cloud.lose_answer("POST", r"/instances$")
    for _ in range(3):
        with pytest.raises(TryLater):
            driver.create(spec)
    assert settled(rig, driver, patiently(rig, lambda: driver.create(spec))).attempt == "first"
    assert (rig.count(spec.contract), len(rig.cloud.asked("POST", r"/instances$"))) == (1, 1)


def test_a_changed_label_hides_nothing(rig: VultrRig) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    rig.cloud.instances[number_of(made)]["label"] = "renamed by somebody"
    assert rig.driver().create(spec).handle == made.handle
    assert rig.driver().inspect(handle_of(made), spec.contract).handle == made.handle


def test_a_listed_instance_that_cannot_be_read_is_not_gone(rig: VultrRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.fail("GET", rf"{INSTANCE}$", refusal(404, "Invalid instance."))
    with pytest.raises(TryLater, match="listed"):
        rig.driver().inspect(handle_of(made), made.contract)


def test_a_404_that_is_not_vultrs_is_no_evidence(rig: VultrRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    for body in (None, {"message": "no route"}):
        rig.cloud.fail("GET", rf"{INSTANCE}$", Answer(404, body, judged=False))
        with pytest.raises(Broken):
            rig.driver().inspect(handle_of(made), made.contract)


def test_another_account_that_knows_nothing_is_told_apart(rig: VultrRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.instances.clear()
    rig.cloud.email = "other@provider.example"
    read = rig.driver().inspect(handle_of(made), made.contract)
    assert read.state is Observed.ABSENT
    assert read.scope != made.scope
    assert "other" not in read.scope


def test_the_fingerprint_outlives_a_new_key_and_a_new_spelling(rig: VultrRig) -> None:
    before = rig.driver().scope()
    rig.cloud.tokens["second"] = RIGHTS
    rig.cloud.email = "Owner@Provider.example"
    assert rig.driver(token="second").scope() == before


def test_lists_have_all_pages_even_if_something_goes_in_between(rig: VultrRig) -> None:
    driver = rig.driver()
    tags = [platform_tag(rig.platform), contract_tag("c")]
    added = [rig.cloud.put_in(f"s{number}", tags)["id"] for number in range(12)]
    rig.cloud.most_per_page = 5
    rig.cloud.then("GET", r"/instances$", lambda: rig.cloud.instances.pop(added[0]))
    seen = {number_of(each) for each in driver.list_owned()}
    assert seen == set(rig.cloud.instances)
    assert len(seen) == 11


# --- what is ordered ---


def test_the_cheapest_plan_that_gives_all_is_ordered_without_a_key_object(rig: VultrRig) -> None:
    running(rig, rig.driver(), new_spec(rig))
    (call,) = rig.cloud.asked("POST", r"/instances$")
    assert (call.body["plan"], call.body["region"]) == ("vc2-2c-4gb", "fra")
    assert "sshkey_id" not in call.body


def test_the_offering_may_pin_plan_and_region(rig: VultrRig) -> None:
    settings = {"plan": "vc2-4c-8gb", "region": "ewr", "user": "root"}
    rig.driver().create(new_spec(rig, settings=settings))
    (call,) = rig.cloud.asked("POST", r"/instances$")
    assert (call.body["plan"], call.body["region"]) == ("vc2-4c-8gb", "ewr")


def test_stock_is_read_again_before_every_order(rig: VultrRig) -> None:
    driver = rig.driver()
    driver.check_plan(new_plan(rig))
    rig.cloud.sell_out("fra")
    driver.create(new_spec(rig))
    assert [call.body["region"] for call in rig.cloud.asked("POST", r"/instances$")] == ["ams"]
    rig.cloud.sell_out()
    with pytest.raises(NoCapacity, match="sold out"):
        driver.create(new_spec(rig))


def test_what_sells_out_as_it_is_ordered_is_tried_elsewhere(rig: VultrRig) -> None:
    rig.cloud.then("GET", r"/ams/availability$", lambda: rig.cloud.sell_out("fra"))
    rig.driver().create(new_spec(rig))
    regions = [call.body["region"] for call in rig.cloud.asked("POST", r"/instances$")]
    assert regions == ["fra", "ams"]


def test_the_accounts_limit_of_instances_is_no_capacity(rig: VultrRig) -> None:
    rig.cloud.most_instances = 0
    with pytest.raises(NoCapacity, match="maximum number"):
        rig.driver().create(new_spec(rig))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image": "windows"}, "known: debian-12"),
        ({"settings": {"plan": "vc2-nothing"}}, "no plan 'vc2-nothing'"),
        ({"settings": {"region": "mars"}}, "no region 'mars'"),
        ({"settings": {"plan": "vc2-1c-1gb"}}, "gives 2000 mCPU"),
        ({"settings": {"flavour": "x"}}, "no offering setting 'flavour'"),
        ({"disk_gib": 9_999}, "9999 GiB"),
    ],
)
def test_what_cannot_be_made_is_found_by_the_check_and_refused_at_rent_time(
    rig: VultrRig, change: dict[str, Any], named: str
) -> None:
    driver = rig.driver()
    (check,) = driver.check_plan(new_plan(rig, **change))
    assert named in check.detail
    assert check.cure
    with pytest.raises(Rejected, match=re.escape(named)):
        driver.create(new_spec(rig, **change))
    assert rig.cloud.asked("POST", r"/instances$") == []


@pytest.mark.parametrize(
    ("system", "named"), [("Old Linux i386", "is for i386"), ("none such", "no operating system")]
)
def test_an_operating_system_that_does_not_fit_is_refused(
    rig: VultrRig, system: str, named: str
) -> None:
    driver = rig.driver(images={"debian-12": system})
    with pytest.raises(Rejected, match=named):
        driver.create(new_spec(rig))
    assert not driver.check_plan(new_plan(rig))[0].passed


def test_an_operating_system_may_be_named_by_its_id(rig: VultrRig) -> None:
    rig.driver(images={"debian-12": "2284"}).create(new_spec(rig))
    assert rig.cloud.asked("POST", r"/instances$")[0].body["os_id"] == 2284


def test_a_refusal_that_the_catalogue_did_not_foresee_is_passed_on(rig: VultrRig) -> None:
    rig.cloud.fail("POST", r"/instances$", refusal(400, "Invalid plan chosen."))
    with pytest.raises(Rejected, match="Invalid plan chosen"):
        rig.driver().create(new_spec(rig))


def test_the_machine_gets_host_key_password_and_the_keys_of_tenant_and_agent(rig: VultrRig) -> None:
    spec = new_spec(rig, management_key=MANAGEMENT_KEY)
    seen = running(rig, rig.driver(), spec)
    assert rig.seen_host_key(seen) == spec.host_key.public
    assert rig.takes_password(seen, "root", spec.password)
    (root,) = rig.config(seen)["users"]
    assert [line.split()[1] for line in root["ssh_authorized_keys"]] == [
        each.line().split()[1] for each in (*spec.ssh_keys, MANAGEMENT_KEY)
    ]


def test_the_offerings_own_part_comes_after_ours(rig: VultrRig) -> None:
    seen = rig.driver().create(new_spec(rig, user_data="#!/bin/sh\necho hello\n"))
    text = rig.first_start_data(seen)
    assert 0 < text.index("#cloud-config") < text.index("echo hello")


# --- what goes wrong later ---


def test_a_machine_runs_only_when_all_three_states_say_so(rig: VultrRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    record = rig.cloud.instances[number_of(made)]
    for change, state in (
        ({"status": "pending"}, Observed.CREATING),
        ({"server_status": "installingbooting"}, Observed.CREATING),
        ({"server_status": "none", "power_status": "stopped"}, Observed.CREATING),
        ({"server_status": "locked"}, Observed.CREATING),
        ({"main_ip": "0.0.0.0"}, Observed.CREATING),
        ({"power_status": "stopped"}, Observed.STOPPED),
        ({"status": "suspended"}, Observed.STOPPED),
        ({"status": "resizing"}, Observed.UNKNOWN),
    ):
        kept = dict(record)
        record.update(change)
        assert rig.driver().inspect(handle_of(made), made.contract).state is state, change
        record.update(kept)


def test_an_instance_too_young_to_be_destroyed_is_destroyed_later(rig: VultrRig) -> None:
    rig.cloud.too_young_ms = 5 * MINUTE_MS
    made = rig.driver().create(new_spec(rig))
    with pytest.raises(TryLater, match="within 5 minutes") as refusal:
        rig.driver().destroy(handle_of(made), made.contract)
    assert refusal.value.after_s >= 60
    removed(rig, rig.driver(), made)


def test_an_instance_that_vultr_is_busy_with_is_not_switched(rig: VultrRig) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.instances[number_of(made)]["server_status"] = "locked"
    with pytest.raises(TryLater, match="busy"):
        rig.driver().stop(handle_of(made), made.contract)
    assert rig.cloud.asked("POST", "/halt") == []


def test_an_instance_without_our_tags_is_neither_read_as_ours_nor_touched(rig: VultrRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    rig.cloud.instances[number_of(made)]["tags"] = []
    with pytest.raises(Broken, match="lost its tags"):
        driver.inspect(handle_of(made), made.contract)
    for touch in (driver.destroy, driver.stop, driver.start, driver.meter):
        with pytest.raises(Rejected):
            touch(handle_of(made), made.contract)
    assert number_of(made) in rig.cloud.instances


def test_traffic_is_what_vultr_still_shows_by_day(rig: VultrRig) -> None:
    driver = rig.driver()
    made = running(rig, driver, new_spec(rig))
    assert driver.meter(handle_of(made), made.contract) == Traffic(0, 0, made.created_at_ms)
    rig.cloud.traffic[number_of(made)] = {
        "2027-03-01": {"incoming_bytes": 1_000, "outgoing_bytes": 10},
        "2027-03-02": {"incoming_bytes": 500, "outgoing_bytes": 5},
    }
    since_ms = parse_rfc3339("2027-03-01T00:00:00Z")
    assert driver.meter(handle_of(made), made.contract) == Traffic(1_500, 15, since_ms)


# --- credentials, permissions, limits ---


def test_a_probe_makes_nothing_and_passes(rig: VultrRig) -> None:
    driver = rig.driver()
    probe = driver.probe()
    assert probe.passed, probe.checks
    assert probe.scope == driver.scope()
    assert driver.probe() is probe
    assert rig.cloud.instances == {}


@pytest.mark.parametrize("missing", sorted(RIGHTS))
def test_a_right_that_the_key_lacks_is_named(rig: VultrRig, missing: str) -> None:
    made = running(rig, rig.driver(), new_spec(rig))
    rig.cloud.tokens["narrow"] = RIGHTS - {missing}
    driver = rig.driver(token="narrow")
    failed = [each for each in driver.probe().checks if not each.passed]
    assert missing in failed[0].detail
    assert missing in failed[0].cure
    acts: dict[str, Callable[[], object]] = {
        "provisioning": lambda: driver.create(new_spec(rig)),
        "subscriptions": lambda: driver.destroy(handle_of(made), made.contract),
        "subscriptions_view": driver.list_owned,
    }
    with pytest.raises(AuthFailed, match=missing):
        acts[missing]()


def test_a_wrong_key_and_an_address_that_is_not_allowed_are_told_apart(rig: VultrRig) -> None:
    with pytest.raises(AuthFailed, match="wrong or switched off"):
        rig.driver(token="wrong").list_owned()
    rig.cloud.allowed = False
    with pytest.raises(AuthFailed, match="allow this host's address"):
        rig.driver().list_owned()
    probe = rig.driver().probe()
    assert probe.scope == ""
    assert not probe.passed


def test_names_in_the_settings_that_vultr_does_not_have_fail_the_probe(rig: VultrRig) -> None:
    wrong: dict[str, Any] = {
        "images": {"a": "none such"},
        "regions": ["mars"],
        "plans": ["vc2-nothing"],
    }
    checks = {each.name: each for each in rig.driver(**wrong).probe().checks}
    for name, word in (("images", "none such"), ("regions", "mars"), ("plans", "vc2-nothing")):
        assert not checks[name].passed
        assert word in checks[name].detail
    rig.cloud.sell_out()
    stock = {each.name: each for each in rig.driver().probe().checks}["stock"]
    assert not stock.passed
    assert stock.cure


def test_calls_are_paced_below_what_an_address_may_make(rig: VultrRig) -> None:
    rig.cloud.clock.tick_ms = 0
    driver = rig.driver(calls_per_s=10)
    begin_ms = rig.cloud.clock.now_ms()
    for _ in range(20):
        driver.list_owned()
    assert rig.cloud.clock.now_ms() - begin_ms >= 1_900


def test_after_too_many_calls_none_goes_out_until_it_may(rig: VultrRig) -> None:
    driver = rig.driver()
    rig.cloud.fail(
        "GET", r"/instances$", refusal(429, "Rate limit exceeded.", {"Retry-After": "30"})
    )
    with pytest.raises(TryLater) as refused:
        driver.list_owned()
    assert refused.value.after_s >= 30
    calls = len(rig.cloud.calls)
    with pytest.raises(TryLater):
        driver.list_owned()
    assert len(rig.cloud.calls) == calls
    rig.wait(30)
    assert driver.list_owned() == ()


def test_no_error_shows_the_key_or_the_first_start_data(rig: VultrRig) -> None:
    for status in (400, 401, 403, 500):
        rig.cloud.fail("POST", r"/instances$", refusal(status, "No."))
        with pytest.raises(DriverError) as refused:
            rig.driver().create(new_spec(rig))
        said = f"{refused.value!r} {refused.value.details}"
        assert TOKEN not in said
        assert "OPENSSH" not in said


def test_settings_are_checked_by_name() -> None:
    wrongs: tuple[dict[str, object], ...] = (
        {},
        {"token_file": "x", "images": {}},
        {"token_file": "x", "regions": []},
        {"token_file": "x", "calls_per_s": 31},
    )
    for wrong in wrongs:
        with pytest.raises(Invalid):
            VultrDriver.from_settings(wrong, "platform")
    driver = VultrDriver.from_settings({"token_file": "/nowhere"}, "platform")
    with pytest.raises(AuthFailed, match="/nowhere"):
        driver.scope()
    assert driver.describe().name == "vultr"
    driver.close()


def number_of(seen: Observation) -> str:
    return handle_of(seen).data["id"]

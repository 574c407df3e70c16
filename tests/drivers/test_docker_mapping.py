"""Docker's words read in ours: states with their details, errors by cause, settings, subnets."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.drivers.contract import (
    LABEL_ATTEMPT,
    LABEL_CONTRACT,
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.docker import access, mapping
from decent_cloud.drivers.docker.api import Missing, Taken, _from_status, _text_of
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.drivers.docker.host_routes import overlapping
from decent_cloud.drivers.docker.network import subnet
from decent_cloud.drivers.docker.settings import read_settings
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import Observed


def record(status: str, restarts: int = 0, **state: object) -> dict[str, Any]:
    labels = {LABEL_CONTRACT: "c1", LABEL_ATTEMPT: "a1", mapping.LABEL_PORT: "22001"}
    return {
        "Id": "0" * 64,
        "Name": "/dc-c1",
        "Created": "2026-11-24T07:00:00.123456789Z",
        "RestartCount": restarts,
        "Config": {"Labels": labels},
        "State": {"Status": status, **state},
    }


@pytest.mark.parametrize(
    ("seen", "state", "detail"),
    [
        (record("created"), Observed.CREATING, ""),
        (record("created", Error="no port"), Observed.CREATING, "no port"),
        (record("running"), Observed.RUNNING, ""),
        (
            record("running", 1, OOMKilled=True),
            Observed.RUNNING,
            "out of memory; restarted 1 times",
        ),
        (record("restarting", 3), Observed.RUNNING, "restarting; restarted 3 times"),
        (record("paused"), Observed.STOPPED, "paused"),
        (record("exited", ExitCode=137), Observed.STOPPED, "exit code 137"),
        (record("exited", ExitCode=0), Observed.STOPPED, ""),
        (record("removing"), Observed.DELETING, ""),
        (record("dead"), Observed.DELETING, "dead"),
        (record("something new"), Observed.UNKNOWN, ""),
    ],
)
def test_each_state_of_a_container_is_one_of_ours(
    seen: dict[str, Any], state: Observed, detail: str
) -> None:
    read = mapping.observe_record(seen, "scope", "192.0.2.1")
    assert (read.state, read.detail) == (state, detail)
    assert (read.host, read.port, read.attempt) == ("192.0.2.1", 22_001, "a1")
    assert read.created_at_ms == 1_795_503_600_123


@pytest.mark.parametrize(
    "text",
    ["2026-11-24T07:00:00Z", "2026-11-24T07:00:00.0Z", "2026-11-24T09:00:00.000000001+02:00"],
)
def test_the_engines_times_are_read_to_the_millisecond(text: str) -> None:
    assert mapping.engine_time(text) == 1_795_503_600_000


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (404, "No such container: x", Missing),
        (409, "Conflict. The container name is already in use", Taken),
        (403, "Pool overlaps with other one on this address space", Taken),
        (403, "conflicts with network 1 (dcx): networks have same bridge name", Taken),
        (401, "unauthorized", AuthFailed),
        (400, "invalid reference format", Rejected),
        (500, "Bind for 127.0.0.1:2201 failed: port is already allocated", NoCapacity),
        (500, "write /x: no space left on device", NoCapacity),
        (500, "OCI runtime create failed: no such file", Broken),
        (500, "something went wrong", TryLater),
        (503, "busy", TryLater),
    ],
)
def test_each_answer_of_the_engine_is_one_error(
    status: int, said: str, error: type[DriverError]
) -> None:
    response = requests.Response()
    response.status_code = status
    answer = _from_status(APIError("x", response=response, explanation=said))
    assert type(answer) is error
    if "2201" in said:
        assert answer.details["port"] == 2_201


def test_frames_of_output_are_joined_and_a_torn_one_does_no_harm() -> None:
    frame = b"\1\0\0\0\0\0\0\3abc"
    assert _text_of(frame + b"\2\0\0\0\0\0\0\2de" + frame[:5]) == "abcde"


@given(st.text(min_size=1), st.integers(0, 10_000))
def test_subnets_lie_in_the_range_and_follow_each_other(contract: str, attempt: int) -> None:
    whole = ipaddress.IPv4Network("10.201.0.0/16")
    first, second = (subnet(str(whole), contract, attempt + step) for step in (0, 1))
    assert first.subnet_of(whole)
    assert first.prefixlen == 29
    assert not first.overlaps(second)
    assert subnet(str(whole), contract, attempt) == first


def test_bridges_share_a_prefix_and_fit_the_kernels_limit() -> None:
    names = {mapping.bridge_name("p", f"c{number}") for number in range(1_000)}
    assert len(names) == 1_000
    assert all(name.startswith("dcx") and len(name) == 15 for name in names)


def test_another_images_accounts_are_kept_beside_roots_new_password() -> None:
    kept = access._with_password("root:*:1::::::\ndaemon:*:1::::::\n", "secret")
    assert kept.startswith("root:$6$")
    assert kept.endswith(":::\ndaemon:*:1::::::\n")
    assert kept.count("root:") == 1


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"colour": "red"}, ""),
        ({"first_port": 80}, "first_port"),
        ({"first_port": 23_000, "last_port": 22_000}, "last_port"),
        ({"first_port": "22000"}, "first_port"),
        ({"images": {}}, "images"),
        ({"images": {"x": "built-in:huge"}}, "images"),
        ({"isolation": "perhaps"}, "isolation"),
        ({"subnets": "10.0.0.0/30"}, "subnets"),
        ({"subnets": "10.0.0.1/16"}, "subnets"),
        ({"subnets": "here"}, "subnets"),
        ({"deny_networks": ["x"]}, "deny_networks"),
        ({"dns": ["resolver"]}, "dns"),
        ({"dns": ["192.168.1.1"]}, "dns"),
        ({"bind": "localhost"}, "bind"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_settings(settings)
    assert refusal.value.field.split("[")[0] == field


def test_a_range_that_the_host_uses_itself_is_found(tmp_path: Path) -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT"
    rows = [
        "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0",
        "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0",
        "tun0 00C8C90A 00000000 0001 0 0 0 00F8FFFF 0 0 0",
        "dcx0123456789ab 08C9C90A 00000000 0001 0 0 0 F8FFFFFF 0 0 0",
    ]
    routes = tmp_path / "route"
    routes.write_text("\n".join([head, *rows]) + "\n")
    assert overlapping("10.201.0.0/16", routes) == ["10.201.200.0/21 on tun0"]
    assert overlapping("192.0.2.0/24", routes) == ["192.0.2.0/24 on eth0"]
    assert overlapping("10.202.0.0/16", routes) == []


def test_the_description_says_what_isolation_there_is() -> None:
    firewalled = DockerDriver.from_settings({}, "platform").describe()
    assert firewalled.port_range == (22_000, 22_999)
    assert "firewall" in firewalled.isolation
    open_ = DockerDriver.from_settings({"isolation": "none"}, "platform").describe()
    assert "no network isolation" in open_.isolation

"""Settings, trust and templates of the Proxmox driver."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.specs import (
    new_spec,
    running,
)
from decent_cloud.drivers.contract import (
    Broken,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.proxmox.settings import read_settings
from decent_cloud.drivers.proxmox.template import TemplateRequest, make_template
from decent_cloud.kernel.errors import Invalid
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.support import loopback
from tests.support.clouds.proxmox import FakeProxmox
from tests.support.clouds.server import serving_cloud
from tests.support.own_tls import own_tls

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ProxmoxRig]:
    with serving_cloud(FakeProxmox()) as cloud:
        made = ProxmoxRig(cloud, tmp_path)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"last_vmid": 19_000}, "last_vmid"),
        ({"images": {}}, "images"),
        ({"images": {"debian-12": 20_001}}, "images"),
        ({"api": "pve1"}, "api"),
        ({"first_address": "45.9.0.10", "gateway": "x"}, "gateway"),
        ({"first_address": "45.9.0.10", "gateway": "45.9.0.1"}, "last_vmid"),
        ({"first_address": "45.9.0.1", "gateway": "45.9.0.9", "prefix": 8}, "gateway"),
        ({"colour": "red"}, ""),
    ],
)
def test_settings_that_cannot_work_are_refused(
    rig: ProxmoxRig, wrong: dict[str, object], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        read_settings(rig.settings_with(**wrong))
    assert refusal.value.details.get("field", "") == field


def request(**changes: object) -> TemplateRequest:
    fields = {"vmid": 9001, "name": "debian-13", "url": "https://images.example/debian-13.img"}
    return TemplateRequest(**{**fields, **changes})  # type: ignore[arg-type]


def make(rig: ProxmoxRig, wanted: TemplateRequest) -> list[str]:
    said: list[str] = []
    settings = read_settings(rig.settings_with())
    assert make_template(settings, wanted, said.append, rig.wait) == wanted.vmid
    return said


def test_a_template_is_made_from_an_image_and_machines_are_made_from_it(rig: ProxmoxRig) -> None:
    assert rig.cloud.acl is not None
    needed = {path: set(each) for path, each in rig.cloud.acl.items()}
    rig.cloud.acl["/nodes/pve1"].add("Sys.AccessNetwork")
    checksum = hashlib.sha256(request().url.encode()).hexdigest()
    said = make(rig, request(checksum=f"sha256:{checksum}"))
    assert len(said) == 4
    config = rig.cloud.guests[9001].config
    assert (config["template"], "ide2" in config, config["agent"]) == ("1", False, "enabled=1")
    assert list(rig.cloud.volumes) == ["local:import/debian-13.qcow2"]
    assert make(rig, request()) == ["VM 9001 is a template"]
    rig.cloud.acl = needed
    driver = rig.driver(images={"debian-13": 9001})
    assert running(rig, driver, new_spec(rig, image="debian-13")).host


@pytest.mark.parametrize(
    "cut",
    [
        "/download-url$",
        "/qemu$",
        "/upload$",
        "/config$",
        "/status/start$",
        "/content/",
        "/template$",
    ],
)
def test_a_template_cut_off_at_any_call_is_gone_on_with(rig: ProxmoxRig, cut: str) -> None:
    rig.cloud.acl = None
    for method in ("POST", "PUT", "DELETE"):
        rig.cloud.lose_answer(method, cut)
    for _ in range(4):
        with contextlib.suppress(TryLater, Broken):
            make(rig, request())
            break
        rig.wait(10)
    assert rig.cloud.guests[9001].config["template"] == "1"
    assert "ide2" not in rig.cloud.guests[9001].config


def test_a_template_never_takes_an_id_or_an_image_that_is_not_right(rig: ProxmoxRig) -> None:
    rig.cloud.acl = None
    rig.foreign(9001, "mine")
    with pytest.raises(Rejected, match="something else"):
        make(rig, request())
    wrong = request(vmid=9002, checksum=f"sha256:{'0' * 64}")
    with pytest.raises(Rejected, match="checksum"):
        make(rig, wrong)
    for bad in (request(url="http://x/y.img"), request(vmid=20_005), request(checksum="md5:1")):
        with pytest.raises(Rejected):
            make(rig, bad)


def test_an_image_that_cannot_install_the_agent_is_told(rig: ProxmoxRig) -> None:
    rig.cloud.acl = None
    rig.cloud.no_internet = True
    with pytest.raises(Broken, match="console"):
        make(rig, request())


def test_the_clusters_own_certificate_is_trusted_when_named_and_not_otherwise(
    rig: ProxmoxRig, tmp_path: Path
) -> None:
    context, ca_file = own_tls(tmp_path)
    with loopback.serving(rig.cloud.answer, context) as origin:
        assert running(rig, rig.driver(api=origin, ca_file=str(ca_file)), new_spec(rig)).host
        with pytest.raises(TryLater):
            rig.driver(api=origin).scope()
        with pytest.raises(Invalid):
            rig.driver(api=origin, ca_file=str(tmp_path / "none")).scope()

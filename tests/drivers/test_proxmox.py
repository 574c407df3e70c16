"""The Proxmox driver keeps the kit on a fake that is judged by Proxmox's own schema, in versions 8 and 9."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import proxmoxer
import pytest
from proxmoxer.tools import Tasks

from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_spec,
    running,
)
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    AuthFailed,
)
from decent_cloud.drivers.proxmox import permissions
from decent_cloud.drivers.proxmox.settings import read_settings
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.support import loopback
from tests.support.clouds.proxmox import TOKEN, VERSIONS, FakeProxmox
from tests.support.clouds.server import serving_cloud
from tests.support.own_tls import own_tls

pytestmark = pytest.mark.slow


@pytest.fixture(params=[8, 9], ids=["pve8", "pve9"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProxmoxRig]:
    with serving_cloud(FakeProxmox(request.param)) as cloud:
        made = ProxmoxRig(cloud, tmp_path)
        yield made
        made.close()


class TestProxmoxDriver(ConformanceSuite):
    """Runs the kit."""


def test_every_privilege_that_is_asked_for_is_missed_by_name(rig: ProxmoxRig) -> None:
    assert rig.cloud.acl is not None
    for path, privileges in rig.cloud.acl.items():
        for each in sorted(privileges - {"VM.Audit", "Datastore.Audit"}):
            privileges.discard(each)
            failed = [check for check in rig.driver().probe().checks if not check.passed]
            assert failed[0].name == f"permissions {path}"
            assert each in failed[0].detail
            assert each in failed[0].cure
            privileges.add(each)
    assert rig.driver().probe().passed


@pytest.mark.parametrize(
    "privilege",
    [
        "VM.Allocate",
        "VM.Clone",
        "VM.Config.CDROM",
        "VM.Config.Cloudinit",
        "VM.Config.Network",
        "VM.PowerMgmt",
        "SDN.Use",
    ],
)
def test_a_refusal_at_work_names_the_privilege_and_leaves_no_machine_that_runs(
    rig: ProxmoxRig, privilege: str
) -> None:
    assert rig.cloud.acl is not None
    for each in rig.cloud.acl.values():
        each.discard(privilege)
    spec = new_spec(rig)
    with pytest.raises(AuthFailed, match=privilege):
        rig.driver().create(spec)
    assert not any(each.running for each in rig.cloud.guests.values())


def test_without_the_right_to_see_vms_nothing_counts_as_gone(rig: ProxmoxRig) -> None:
    spec = new_spec(rig)
    made = running(rig, rig.driver(), spec)
    assert rig.cloud.acl is not None
    rig.cloud.acl["/vms"].discard("VM.Audit")
    reads: list[Callable[[], object]] = [
        lambda: rig.driver().list_owned(),
        lambda: rig.driver().inspect(handle_of(made), spec.contract),
    ]
    for read in reads:
        with pytest.raises(AuthFailed, match=r"VM\.Audit"):
            read()


def test_the_commands_for_a_token_give_every_privilege(rig: ProxmoxRig) -> None:
    settings = read_settings(rig.settings_with())
    version = VERSIONS[rig.cloud.major]
    said = "\n".join(permissions.commands(version, settings, "agent@pve!decent"))
    for path, privileges in permissions.needed(version, settings).items():
        assert f"acl modify {path} " in said
        assert all(each in said for each in privileges)
    assert ("VM.Monitor" in said) == (rig.cloud.major == 8)


def test_proxmoxs_usual_client_finds_the_fake_as_it_is_used_to(
    rig: ProxmoxRig, tmp_path: Path
) -> None:
    handle = handle_of(running(rig, rig.driver(), new_spec(rig)))
    rig.cloud.acl = None
    context, _ = own_tls(tmp_path)
    with loopback.serving(rig.cloud.answer, context) as origin, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks to a certificate that it does not know
        user, _, rest = TOKEN.partition("!")
        name, _, secret = rest.partition("=")
        client = proxmoxer.ProxmoxAPI(
            "127.0.0.1",
            port=int(origin.rpartition(":")[2]),
            user=user,
            token_name=name,
            token_value=secret,
            verify_ssl=False,
        )
        vm = client.nodes("pve1").qemu(handle.data["vmid"])
        assert vm.config.get()["name"] == handle.data["name"]
        for act in (vm.status.stop.post, lambda: vm.delete(purge=1)):
            done = Tasks.blocking_status(client, act(), polling_interval=0.01)
            assert done["exitstatus"] == "OK"
        with pytest.raises(proxmoxer.ResourceException, match="does not exist"):
            vm.config.get()

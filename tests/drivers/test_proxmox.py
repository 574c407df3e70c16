"""The Proxmox driver keeps the kit on a fake that is judged by Proxmox's own schema, in versions 8 and 9."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.suite import ConformanceSuite
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.support.clouds.proxmox import FakeProxmox
from tests.support.clouds.server import serving_cloud


@pytest.fixture(params=[8, 9], ids=["pve8", "pve9"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProxmoxRig]:
    with serving_cloud(FakeProxmox(request.param)) as cloud:
        made = ProxmoxRig(cloud, tmp_path)
        yield made
        made.close()


class TestProxmoxDriver(ConformanceSuite):
    """Runs the kit."""

"""The Vultr driver keeps the kit on a fake that is judged by Vultr's own document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.suite import ConformanceSuite
from tests.drivers.vultr_rig import VultrRig
from tests.support.clouds.server import serving_cloud
from tests.support.clouds.vultr import VultrCloud


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[VultrRig]:
    with serving_cloud(VultrCloud()) as cloud:
        made = VultrRig(cloud, tmp_path)
        yield made
        made.close()


class TestVultrDriver(ConformanceSuite):
    """Runs the kit."""

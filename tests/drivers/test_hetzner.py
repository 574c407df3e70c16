"""The Hetzner driver keeps the kit on a fake that is judged by Hetzner's own document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.suite import ConformanceSuite
from tests.drivers.hetzner_rig import HetznerRig
from tests.support.clouds.hetzner import HetznerCloud
from tests.support.clouds.server import serving_cloud


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[HetznerRig]:
    with serving_cloud(HetznerCloud()) as cloud:
        made = HetznerRig(cloud, tmp_path)
        yield made
        made.close()


class TestHetznerDriver(ConformanceSuite):
    """Runs the kit."""

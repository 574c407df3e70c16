"""The DigitalOcean driver keeps the kit on a fake that is judged by DigitalOcean's own document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.suite import ConformanceSuite
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.support.clouds.digitalocean import DigitalOceanCloud
from tests.support.clouds.server import serving_cloud


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DigitalOceanRig]:
    with serving_cloud(DigitalOceanCloud()) as cloud:
        made = DigitalOceanRig(cloud, tmp_path)
        yield made
        made.close()


class TestDigitalOceanDriver(ConformanceSuite):
    """Runs the kit."""

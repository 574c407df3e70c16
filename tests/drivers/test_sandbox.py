"""The sandbox driver keeps the kit on real processes, and leaves nothing behind however it is killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from decent_cloud.drivers.conformance.suite import ConformanceSuite
from tests.drivers.sandbox_rig import SandboxRig, sandbox_rig

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture
def rig() -> Iterator[SandboxRig]:
    with sandbox_rig() as made:
        yield made


class TestSandboxDriver(ConformanceSuite):
    """Runs the kit."""

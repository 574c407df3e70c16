"""The kit as a file that pytest collects; `rig` is given by a plugin (see __main__.py)."""

from __future__ import annotations

from decent_cloud.drivers.conformance.suite import ConformanceSuite


class TestDriver(ConformanceSuite):
    """Runs the kit."""

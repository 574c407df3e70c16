"""All of the kit in one class: subclass it as `Test...` and give it a fixture called `rig`."""

from __future__ import annotations

from decent_cloud.drivers.conformance.abilities import MeterSuite, PlanSuite, ResetSuite, StopSuite
from decent_cloud.drivers.conformance.faults import FaultSuite
from decent_cloud.drivers.conformance.keys import KeysSuite
from decent_cloud.drivers.conformance.verbs import VerbSuite


class ConformanceSuite(
    VerbSuite, FaultSuite, StopSuite, ResetSuite, KeysSuite, MeterSuite, PlanSuite
):
    """What a driver must do; parts that it does not offer, or its rig cannot try, are skipped."""

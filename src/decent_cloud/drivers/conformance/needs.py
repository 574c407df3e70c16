"""Skips what a driver does not offer or a rig cannot do, and says which; never by a driver's name."""

from __future__ import annotations

from typing import TypeVar

import pytest

from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig
from decent_cloud.drivers.contract import Driver

A = TypeVar("A")


def need_power(rig: Rig, *powers: Power) -> None:
    """Skip the test unless the rig can do all this."""
    missing = sorted(set(powers) - rig.powers)
    if missing:
        pytest.skip(f"the rig cannot: {', '.join(missing)}")


def need_fault(rig: Rig, act: Act, fault: Fault) -> None:
    """Skip the test unless the rig can let this go wrong."""
    if (act, fault) not in rig.faults:
        pytest.skip(f"the rig cannot let {act} be {fault}")


def need_ability(driver: Driver, ability: type[A]) -> A:
    """Return the driver as one that has the ability, or skip the test."""
    if not isinstance(driver, ability):
        pytest.skip(f"the driver does not offer {ability.__name__}")
    return driver

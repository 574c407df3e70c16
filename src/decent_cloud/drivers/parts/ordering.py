"""Orders at vendors: the plan behind a machine, places tried in turn, and a contract that has two machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from decent_cloud.drivers.contract import InstanceSpec, NoCapacity, Observation, Plan

B = TypeVar("B")
R = TypeVar("R")


def plan_of(spec: InstanceSpec) -> Plan:
    """Return what kind of machine is to be made."""
    return Plan(spec.image, spec.cpu_milli, spec.memory_mib, spec.disk_gib, spec.settings)


def order_in_turn(bodies: Iterable[B], order: Callable[[B], R]) -> R:
    """Send the orders until one is taken, as long as places are sold out. Errors: NoCapacity, the order's."""
    sold_out: NoCapacity | None = None
    for body in bodies:
        try:
            return order(body)
        except NoCapacity as error:
            sold_out = error
    raise sold_out or NoCapacity("no place to order in")


def beside_others(seen: Observation, what: str, others: Iterable[object]) -> Observation:
    """Say in its detail that the contract has more machines than this one."""
    more = ", ".join(map(str, others))
    if not more:
        return seen
    return replace(seen, detail=f"this contract has more than one {what}: also {more}")

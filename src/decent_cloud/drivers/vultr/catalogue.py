"""What Vultr sells now, and which plan, operating system and regions fit an offering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from decent_cloud.drivers.contract import Plan
from decent_cloud.drivers.parts.size_choice import (
    Bounds,
    Size,
    choose_size,
    mapped_image,
    refuse_image,
    refuse_unknown_settings,
    wanted_places,
)
from decent_cloud.drivers.vultr.settings import VultrSettings

OFFERING_SETTINGS = frozenset({"plan", "region"})
ARCHITECTURE = "x64"  # of all of Vultr's plans
_NO_GPU = {"", "none"}

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to order: Vultr's words, regions in the order to try them."""

    plan: str
    os_id: int
    system: str
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One read of what is on sale; `in_stock` reads which plans a region has left now."""

    plans: tuple[Record, ...]
    systems: tuple[Record, ...]
    regions: tuple[Record, ...]
    in_stock: Callable[[str], frozenset[str]]

    def choose(self, plan: Plan, settings: VultrSettings) -> Choice:
        """Choose what to order. The offering may pin `plan` and `region`; else it is the cheapest
        plan that gives all that is promised.

        Errors: Rejected for what the catalogue does not know or what does not fit together,
        NoCapacity where everything that fits is sold out.
        """
        refuse_unknown_settings(plan.settings, OFFERING_SETTINGS)
        system = self._system(plan.image, settings)
        known = {each["id"] for each in self.regions}
        pinned = plan.settings.get("region", "")
        regions = wanted_places(pinned, settings.regions, known, "Vultr", "region")
        bounds = Bounds("Vultr", "plan", plan.settings.get("plan", ""), settings.plans, regions)
        left = {region: self.in_stock(region) for region in regions}
        size, places = choose_size(plan, [_size(each, left) for each in self._usual()], bounds)
        return Choice(size.name, int(system["id"]), str(system["name"]), places)

    def system(self, word: str) -> Record | None:
        """Find an operating system by name or id."""
        found = (each for each in self.systems if word in {each["name"], str(each["id"])})
        return next(found, None)

    def _system(self, name: str, settings: VultrSettings) -> Record:
        word = mapped_image(name, settings.images)
        system = self.system(word)
        if system is None:
            raise refuse_image(name, f"Vultr has no operating system {word!r}", image=word)
        if system["arch"] != ARCHITECTURE:
            said = f"the operating system {word!r} is for {system['arch']}, and plans are {ARCHITECTURE}"
            raise refuse_image(name, said)
        return system

    def _usual(self) -> list[Record]:
        """Return the plans without GPUs."""
        return [each for each in self.plans if (each.get("gpu_brand") or "") in _NO_GPU]


def missing_names(catalogue: Catalogue, settings: VultrSettings) -> dict[str, list[str]]:
    """Return, by setting, the names that Vultr does not have."""
    plans = {each["id"] for each in catalogue.plans}
    regions = {each["id"] for each in catalogue.regions}
    return {
        "images": [each for each in settings.images.values() if catalogue.system(each) is None],
        "regions": [each for each in settings.regions if each not in regions],
        "plans": [each for each in settings.plans if each not in plans],
    }


def _size(plan: Record, left: Mapping[str, frozenset[str]]) -> Size:
    name = plan["id"]
    held = {region for region, plans in left.items() if name in plans}
    return Size(
        name,
        plan["vcpu_count"] * 1_000,
        plan["ram"],
        plan["disk"],
        float(plan["monthly_cost"]),
        frozenset(held & set(plan["locations"])),
    )

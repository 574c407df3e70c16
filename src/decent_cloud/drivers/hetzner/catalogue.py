"""What Hetzner sells now, and which server type, image and locations fit an offering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decent_cloud.drivers.contract import NoCapacity, Plan, Rejected
from decent_cloud.drivers.hetzner.settings import HetznerSettings
from decent_cloud.drivers.parts.size_choice import FOR_THE_AGENT

MEMORY_UNIT_MIB = 1_024
OFFERING_SETTINGS = frozenset({"server_type", "location"})

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to order: Hetzner's words, locations in the order to try them."""

    server_type: str
    architecture: str
    image: str
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One read of what is on sale."""

    types: tuple[Record, ...]
    images: tuple[Record, ...]
    locations: tuple[Record, ...]

    def choose(self, need: Plan, settings: HetznerSettings) -> Choice:
        """Choose what to order. The offering may pin `server_type` and `location`; else it is
        the cheapest type that gives all that is promised.

        Errors: Rejected for what the catalogue does not know or what does not fit together,
        NoCapacity where everything that fits is sold out.
        """
        unknown = sorted(set(need.settings) - OFFERING_SETTINGS - FOR_THE_AGENT)
        if unknown:
            raise Rejected(f"this driver has no offering setting {unknown[0]!r}")
        image, architectures = self._image(need.image, settings)
        wanted = self._locations(need.settings.get("location", ""), settings)
        fitting = self._types(need, settings)
        matching = [each for each in fitting if each["architecture"] in architectures]
        if not matching:
            raise Rejected(
                f"the image {need.image!r} is for {', '.join(sorted(architectures))} and the server "
                f"type {fitting[0]['name']} is {fitting[0]['architecture']}"
            )
        for each in matching:
            places = tuple(name for name in wanted if _is_sold(each, name))
            if places:
                return Choice(each["name"], each["architecture"], image, places)
        names = ", ".join(each["name"] for each in matching[:5])
        raise NoCapacity(f"{names}: sold out or not offered in {', '.join(wanted)}")

    def _image(self, name: str, settings: HetznerSettings) -> tuple[str, set[str]]:
        image = settings.images.get(name)
        if image is None:
            known = ", ".join(sorted(settings.images))
            raise Rejected(f"the image {name!r} is not in the driver's settings; known: {known}")
        found = [each for each in self.images if image in {each["name"], str(each["id"])}]
        usable = [each for each in found if not each["deprecated"]]
        if not usable:
            said = "is no longer offered" if found else "is not known"
            raise Rejected(f"Hetzner's image {image!r} {said}", image=image)
        return image, {each["architecture"] for each in usable}

    def _locations(self, pinned: str, settings: HetznerSettings) -> tuple[str, ...]:
        known = {each["name"] for each in self.locations}
        wanted = tuple(pinned.split(",")) if pinned else settings.locations
        for each in wanted:
            if each not in known:
                raise Rejected(f"Hetzner has no location {each!r}", location=each)
        return wanted

    def _types(self, need: Plan, settings: HetznerSettings) -> list[Record]:
        pinned = need.settings.get("server_type", "")
        allowed = settings.server_types
        if pinned and allowed and pinned not in allowed:
            raise Rejected(f"the server type {pinned!r} is not among the driver's server_types")
        names = (pinned,) if pinned else allowed
        by_name = {each["name"]: each for each in self.types}
        for name in names:
            if name not in by_name:
                raise Rejected(f"Hetzner has no server type {name!r}", server_type=name)
        found = [by_name[name] for name in names] or sorted(self.types, key=_price)
        fitting = [each for each in found if _gives(each, need)]
        if not fitting:
            raise Rejected(
                f"{f'the server type {pinned}' if pinned else 'no server type'} gives {need.cpu_milli} mCPU, "
                f"{need.memory_mib} MiB of memory and {need.disk_gib} GiB of disk"
            )
        return fitting


def _gives(server_type: Record, need: Plan) -> bool:
    return bool(
        server_type["cores"] * 1_000 >= need.cpu_milli
        and server_type["memory"] * MEMORY_UNIT_MIB >= need.memory_mib
        and server_type["disk"] >= need.disk_gib
    )


def _is_sold(server_type: Record, location: str) -> bool:
    for each in server_type["locations"]:
        if each["name"] == location:
            return bool(each["available"]) and each["deprecation"] is None
    return False


def _price(server_type: Record) -> float:
    """Order by the month's lowest price; only ever compared, never counted."""
    prices = [float(each["price_monthly"]["net"]) for each in server_type["prices"]]
    return min(prices, default=float("inf"))

"""What Hetzner sells now, and which server type, image and locations fit an offering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decent_cloud.drivers.contract import Plan
from decent_cloud.drivers.hetzner.settings import HetznerSettings
from decent_cloud.drivers.parts.size_choice import (
    Bounds,
    Size,
    choose_size,
    mapped_image,
    refuse_image,
    refuse_unknown_settings,
    wanted_places,
)

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
        refuse_unknown_settings(need.settings, OFFERING_SETTINGS)
        image, architectures = self._image(need.image, settings)
        known = {each["name"] for each in self.locations}
        pinned = need.settings.get("location", "")
        wanted = wanted_places(pinned, settings.locations, known, "Hetzner", "location")
        type_ = need.settings.get("server_type", "")
        bounds = Bounds(
            "Hetzner", "server type", type_, settings.server_types, wanted, architectures
        )
        size, places = choose_size(need, [_size(each) for each in self.types], bounds)
        return Choice(size.name, size.architecture, image, places)

    def _image(self, name: str, settings: HetznerSettings) -> tuple[str, frozenset[str]]:
        image = mapped_image(name, settings.images)
        found = [each for each in self.images if image in {each["name"], str(each["id"])}]
        usable = [each for each in found if not each["deprecated"]]
        if not usable:
            said = "is no longer offered" if found else "is not known"
            raise refuse_image(name, f"Hetzner's image {image!r} {said}", image=image)
        return image, frozenset(each["architecture"] for each in usable)


def missing_names(catalogue: Catalogue, settings: HetznerSettings) -> dict[str, list[str]]:
    """Return, by setting, the names that Hetzner does not have."""
    images = {str(each[key]) for each in catalogue.images for key in ("name", "id")}
    locations = {each["name"] for each in catalogue.locations}
    types = {each["name"] for each in catalogue.types}
    return {
        "images": [each for each in settings.images.values() if each not in images],
        "locations": [each for each in settings.locations if each not in locations],
        "server_types": [each for each in settings.server_types if each not in types],
    }


def _size(server_type: Record) -> Size:
    sold = {
        each["name"]
        for each in server_type["locations"]
        if each["available"] and each["deprecation"] is None
    }
    prices = [float(each["price_monthly"]["net"]) for each in server_type["prices"]]
    return Size(
        server_type["name"],
        server_type["cores"] * 1_000,
        round(server_type["memory"] * MEMORY_UNIT_MIB),
        server_type["disk"],
        min(prices, default=float("inf")),
        frozenset(sold),
        server_type["architecture"],
    )

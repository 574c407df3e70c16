"""What DigitalOcean sells now, and which size, image and regions fit an offering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from decent_cloud.drivers.contract import Plan, Rejected
from decent_cloud.drivers.digitalocean.settings import DigitalOceanSettings
from decent_cloud.drivers.parts.size_choice import (
    Bounds,
    Size,
    choose_size,
    mapped_image,
    refuse_image,
    refuse_unknown_settings,
    wanted_places,
)

OFFERING_SETTINGS = frozenset({"size", "region"})

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to order: DigitalOcean's words, regions in the order to try them."""

    size: str
    image: str
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One read of what is on sale; `image` looks one up by slug or id, None where there is none."""

    sizes: tuple[Record, ...]
    regions: tuple[Record, ...]
    image: Callable[[str], Record | None]

    def choose(self, plan: Plan, settings: DigitalOceanSettings) -> Choice:
        """Choose what to order. The offering may pin `size` and `region`; else it is the cheapest
        size that gives all that is promised.

        Errors: Rejected for what the catalogue does not know or what does not fit together,
        NoCapacity where everything that fits is sold out.
        """
        refuse_unknown_settings(plan.settings, OFFERING_SETTINGS)
        image = self.usable_image(plan.image, settings)
        known = {each["slug"] for each in self.regions}
        pinned = plan.settings.get("region", "")
        regions = wanted_places(pinned, settings.regions, known, "DigitalOcean", "region")
        held = tuple(each for each in regions if each in image["regions"])
        if not held:
            cure = f"offer it in {', '.join(sorted(image['regions']))}, or copy the image there"
            said = f"the image {plan.image!r} is not held in {', '.join(regions)}"
            raise Rejected(said, cure=cure)
        bounds = Bounds("DigitalOcean", "size", plan.settings.get("size", ""), settings.sizes, held)
        size, places = choose_size(plan, [self._size(each) for each in self._usual()], bounds)
        least_gib = image.get("min_disk_size") or 0
        if size.disk_gib < least_gib:
            cure = f"offer {least_gib} GiB of disk or more, or a smaller image"
            raise Rejected(f"the image {plan.image!r} needs a disk of {least_gib} GiB", cure=cure)
        return Choice(size.name, settings.images[plan.image], places)

    def usable_image(self, name: str, settings: DigitalOceanSettings) -> Record:
        """Return the image behind an offering's name. Errors: Rejected."""
        word = mapped_image(name, settings.images)
        image = self.image(word)
        if image is None:
            raise refuse_image(name, f"DigitalOcean has no image {word!r}", image=word)
        if image["status"] not in {"available", "NEW"}:
            said = f"DigitalOcean's image {word!r} is {image['status']}"
            raise refuse_image(name, said, image=word)
        return image

    def _usual(self) -> list[Record]:
        """Return the sizes without GPUs: lists by tag show no droplets that have some."""
        return [each for each in self.sizes if not each.get("gpu_info")]

    def _size(self, size: Record) -> Size:
        slug = size["slug"]
        open_now = {
            each["slug"] for each in self.regions if each["available"] and slug in each["sizes"]
        }
        places = open_now & set(size["regions"]) if size["available"] else set()
        return Size(
            slug,
            size["vcpus"] * 1_000,
            size["memory"],
            size["disk"],
            float(size["price_monthly"]),
            frozenset(places),
        )


def missing_names(catalogue: Catalogue, settings: DigitalOceanSettings) -> dict[str, list[str]]:
    """Return, by setting, the names that DigitalOcean does not have."""
    sizes = {each["slug"] for each in catalogue.sizes}
    regions = {each["slug"] for each in catalogue.regions}
    return {
        "images": [each for each in settings.images.values() if catalogue.image(each) is None],
        "regions": [each for each in settings.regions if each not in regions],
        "sizes": [each for each in settings.sizes if each not in sizes],
    }

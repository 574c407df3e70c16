"""Which image and which of a vendor's fixed sizes fit an offering, and where they can be had now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from decent_cloud.drivers.contract import Check, NoCapacity, Plan, Rejected

T = TypeVar("T")

FOR_THE_AGENT = frozenset({"user"})  # settings of an offering that no driver maps


@dataclass(frozen=True, slots=True)
class Size:
    """One size of a catalogue; `places` are those where it can be ordered now."""

    name: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    monthly: float  # in whatever money; only ever compared
    places: frozenset[str]
    architecture: str = ""

    def gives(self, plan: Plan) -> bool:
        """Tell whether a machine of this size has all that is promised."""
        return (
            self.cpu_milli >= plan.cpu_milli
            and self.memory_mib >= plan.memory_mib
            and self.disk_gib >= plan.disk_gib
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be chosen: vendor's word for a size, the pinned one, those allowed, places in order.

    `architectures` are those of the offering's image; none where all sizes have the same.
    """

    vendor: str
    word: str
    pinned: str
    allowed: tuple[str, ...]
    places: tuple[str, ...]
    architectures: frozenset[str] = frozenset()


def choose_size(plan: Plan, sizes: Sequence[Size], bounds: Bounds) -> tuple[Size, tuple[str, ...]]:
    """Choose the pinned size, else the first allowed that fits, else the cheapest; with its places.

    Errors: Rejected for a size that is unknown, not allowed, too small or of another architecture than
    the image, NoCapacity where all that fit are sold out.
    """
    fitting = _matching(plan, _fitting(plan, sizes, bounds), bounds)
    for each in fitting:
        places = tuple(place for place in bounds.places if place in each.places)
        if places:
            return each, places
    names = ", ".join(each.name for each in fitting[:5])
    raise NoCapacity(f"{names}: sold out or not offered in {', '.join(bounds.places)}")


def refuse_unknown_settings(settings: Mapping[str, str], known: frozenset[str]) -> None:
    """Refuse an offering's settings that the driver does not map. Errors: Rejected."""
    unknown = sorted(set(settings) - known - FOR_THE_AGENT)
    if unknown:
        cure = f"take it out of the offering's settings; known are {', '.join(sorted(known))}"
        raise Rejected(f"this driver has no offering setting {unknown[0]!r}", cure=cure)


def mapped_image(name: str, images: Mapping[str, str]) -> str:
    """Return the vendor's word for an offering's image. Errors: Rejected."""
    word = images.get(name)
    if word is None:
        known = ", ".join(sorted(images))
        cure = f"offer one of {known}, or map {name!r} in the driver's settings, images"
        raise Rejected(
            f"the image {name!r} is not in the driver's settings; known: {known}", cure=cure
        )
    return word


def refuse_image(name: str, said: str, **details: str) -> Rejected:
    """Return the error for an image that the vendor does not have, or has no more."""
    cure = f"map {name!r} to another image in the driver's settings, images, or offer another"
    return Rejected(said, cure=cure, **details)


def wanted_places(
    pinned: str, usual: tuple[str, ...], known: Collection[str], vendor: str, word: str
) -> tuple[str, ...]:
    """Return the places to try, in order: the offering's, else the settings'. Errors: Rejected."""
    wanted = tuple(pinned.split(",")) if pinned else usual
    for each in wanted:
        if each not in known:
            where = f"the offering's setting {word}" if pinned else f"the driver's {word}s"
            cure = f"correct {where}; {vendor} has {', '.join(sorted(known))}"
            raise Rejected(f"{vendor} has no {word} {each!r}", cure=cure, **{word: each})
    return wanted


def check_plan(choose: Callable[[], T], describe: Callable[[T], str]) -> tuple[Check, ...]:
    """Say how an offering compares with the catalogue: what would be ordered, or what is wrong and its cure."""
    try:
        choice = choose()
    except NoCapacity as error:
        cure = "offer another size or place, or wait until there is stock again"
        return (Check("plan", False, error.message, cure),)
    except Rejected as error:
        cure = "correct the offering's image, size or settings, or the driver's settings"
        return (Check("plan", False, error.message, str(error.details.get("cure", cure))),)
    return (Check("plan", True, describe(choice)),)


def _fitting(plan: Plan, sizes: Sequence[Size], bounds: Bounds) -> list[Size]:
    pinned, allowed, word = bounds.pinned, bounds.allowed, bounds.word
    if pinned and allowed and pinned not in allowed:
        words = f"{word.replace(' ', '_')}s"
        cure = f"pin one of {', '.join(allowed)}, or allow it in the driver's settings, {words}"
        raise Rejected(f"the {word} {pinned!r} is not among the driver's {words}", cure=cure)
    names = (pinned,) if pinned else allowed
    by_name = {each.name: each for each in sizes}
    for name in names:
        if name not in by_name:
            cure = (
                f"pin another {word}" if pinned else f"correct the {word}s in the driver's settings"
            )
            raise Rejected(f"{bounds.vendor} has no {word} {name!r}", cure=cure)
    found = [by_name[name] for name in names] or sorted(
        sizes, key=lambda each: (each.monthly, each.name)
    )
    fitting = [each for each in found if each.gives(plan)]
    if not fitting:
        subject = f"the {word} {pinned}" if pinned else f"no {word} of the driver's settings"
        cure = f"offer less of them, or pin or allow a larger {word}"
        raise Rejected(
            f"{subject} gives {plan.cpu_milli} mCPU, {plan.memory_mib} MiB of memory and "
            f"{plan.disk_gib} GiB of disk",
            cure=cure,
        )
    return fitting


def _matching(plan: Plan, fitting: list[Size], bounds: Bounds) -> list[Size]:
    """Leave the sizes that run the offering's image."""
    wanted = bounds.architectures
    matching = [each for each in fitting if not wanted or each.architecture in wanted]
    if not matching:
        first, kinds = fitting[0], ", ".join(sorted(wanted))
        raise Rejected(
            f"the image {plan.image!r} is for {kinds} and the {bounds.word} {first.name} is "
            f"{first.architecture}",
            cure=f"offer an image for {first.architecture}, or a {bounds.word} for {kinds}",
        )
    return matching

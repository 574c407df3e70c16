"""Which of a vendor's fixed sizes fits an offering, and where it can be had now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from decent_cloud.drivers.contract import Check, DriverError, NoCapacity, Plan, Rejected

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

    def gives(self, plan: Plan) -> bool:
        """Tell whether a machine of this size has all that is promised."""
        return (
            self.cpu_milli >= plan.cpu_milli
            and self.memory_mib >= plan.memory_mib
            and self.disk_gib >= plan.disk_gib
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be chosen: vendor's word for a size, the pinned one, those allowed, places in order."""

    vendor: str
    word: str
    pinned: str
    allowed: tuple[str, ...]
    places: tuple[str, ...]


def choose_size(plan: Plan, sizes: Sequence[Size], bounds: Bounds) -> tuple[Size, tuple[str, ...]]:
    """Choose the pinned size, else the first allowed that fits, else the cheapest; with its places.

    Errors: Rejected for a size that is unknown, not allowed or too small, NoCapacity where all that
    fit are sold out.
    """
    fitting = _fitting(plan, sizes, bounds)
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
        raise Rejected(f"this driver has no offering setting {unknown[0]!r}")


def plan_check(detail: str, error: DriverError | None) -> Check:
    """Say how an offering compares with the catalogue: what would be ordered, or what is wrong."""
    if error is None:
        return Check("plan", True, detail)
    cure = "correct the offering's image, size or settings, or the driver's settings"
    if isinstance(error, NoCapacity):
        cure = "offer another size or place, or wait until there is stock again"
    return Check("plan", False, error.message, cure)


def _fitting(plan: Plan, sizes: Sequence[Size], bounds: Bounds) -> list[Size]:
    pinned, allowed, word = bounds.pinned, bounds.allowed, bounds.word
    if pinned and allowed and pinned not in allowed:
        raise Rejected(f"the {word} {pinned!r} is not among the driver's {word}s")
    names = (pinned,) if pinned else allowed
    by_name = {each.name: each for each in sizes}
    for name in names:
        if name not in by_name:
            raise Rejected(f"{bounds.vendor} has no {word} {name!r}")
    found = [by_name[name] for name in names] or sorted(
        sizes, key=lambda each: (each.monthly, each.name)
    )
    fitting = [each for each in found if each.gives(plan)]
    if not fitting:
        subject = f"the {word} {pinned}" if pinned else f"no {word} of the driver's settings"
        raise Rejected(
            f"{subject} gives {plan.cpu_milli} mCPU, {plan.memory_mib} MiB of memory and "
            f"{plan.disk_gib} GiB of disk"
        )
    return fitting

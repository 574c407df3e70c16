"""What a probe says of a vendor's catalogue: every name in the driver's settings, and whether anything is in stock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from decent_cloud.drivers.contract import Check, NoCapacity, Plan, Rejected


def catalogue_checks(
    vendor: str,
    missing: Mapping[str, list[str]],
    images: Mapping[str, str],
    choose: Callable[[Plan], object],
) -> Iterator[Check]:
    """Say which names of the settings, by field, the vendor does not have; if it has all, what can be ordered."""
    for kind, names in missing.items():
        if names:
            detail = f"{vendor} does not have: {', '.join(names)}"
            yield Check(kind, False, detail, "correct the driver's settings")
        else:
            yield Check(kind, True, "all known")
    if not any(missing.values()):
        stock = any(_can_be_had(image, choose) for image in images)
        detail = "something can be ordered" if stock else "nothing that the settings allow is left"
        kinds = " or ".join(kind for kind in missing if kind != "images")
        yield Check("stock", stock, detail, "" if stock else f"allow more {kinds}")


def _can_be_had(image: str, choose: Callable[[Plan], object]) -> bool:
    try:
        choose(Plan(image, 0, 0, 0))
    except (NoCapacity, Rejected):
        return False
    return True

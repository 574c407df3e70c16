"""What `probe` and `check_plan` try at Hetzner, each with a cure; nothing here costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from decent_cloud.drivers.contract import (
    Check,
    DriverError,
    Limit,
    NoCapacity,
    Plan,
    Probe,
    Rejected,
)
from decent_cloud.drivers.hetzner import mapping
from decent_cloud.drivers.hetzner.api import PERMISSION, HetznerApi
from decent_cloud.drivers.hetzner.catalogue import Catalogue
from decent_cloud.drivers.hetzner.settings import HetznerSettings
from decent_cloud.drivers.parts.token_file import check_token_file

_NEW_TOKEN = "make a token with Read & Write in the console, Security, API tokens"  # noqa: S105 - a sentence
_SETTINGS = "correct the driver's settings"


def run(
    scope: Callable[[], str],
    api: Callable[[], HetznerApi],
    catalogue: Callable[[], Catalogue],
    settings: HetznerSettings,
) -> Probe:
    """Try token, permission and catalogue; what fails is a check, never an error."""
    checks = [check_token_file(settings.token_file, _NEW_TOKEN)]
    seen = ""
    try:
        seen = scope()
        checks.append(Check("token", True, f"the project is {seen}"))
        key = api().key_named(mapping.MARK_NAME)
        if key is not None:
            api().touch_key(key)
        checks.append(Check("permission", True, "the token may read and write"))
        checks += _catalogue_checks(catalogue(), settings)
    except DriverError as error:
        names = {"token": not seen, "permission": len(checks) == 2, "catalogue": True}
        name = next(name for name, here in names.items() if here)
        cure = f"{PERMISSION}: {_NEW_TOKEN}" if name != "catalogue" else "try again later"
        checks.append(Check(name, False, error.message, cure))
    return Probe(seen, frozenset({Limit.CPU, Limit.MEMORY, Limit.DISK}), tuple(checks))


def is_same(scope: Callable[[], str], known: str) -> bool:
    """Tell whether the project that was tried still answers."""
    try:
        return scope() == known
    except DriverError:
        return False


def plan_check(plan: Plan, catalogue: Catalogue, settings: HetznerSettings) -> Check:
    """Compare an offering with the catalogue."""
    try:
        choice = catalogue.choose(plan, settings)
    except NoCapacity as error:
        cure = "offer another server_type or location, or wait until there is stock again"
        return Check("plan", False, error.message, cure)
    except Rejected as error:
        cure = "correct the offering's image, size or settings, or the driver's settings"
        return Check("plan", False, error.message, cure)
    places = ", ".join(choice.locations)
    detail = f"{choice.server_type} ({choice.architecture}) from {choice.image} in {places}"
    return Check("plan", True, detail)


def _catalogue_checks(catalogue: Catalogue, settings: HetznerSettings) -> Iterator[Check]:
    """Compare every name in the settings with what Hetzner knows."""
    known = {
        "images": {each["name"] for each in catalogue.images}
        | {str(each["id"]) for each in catalogue.images},
        "locations": {each["name"] for each in catalogue.locations},
        "server_types": {each["name"] for each in catalogue.types},
    }
    wanted = {
        "images": tuple(settings.images.values()),
        "locations": settings.locations,
        "server_types": settings.server_types,
    }
    for kind, names in wanted.items():
        missing = [each for each in names if each not in known[kind]]
        if missing:
            yield Check(kind, False, f"Hetzner does not have: {', '.join(missing)}", _SETTINGS)
        else:
            yield Check(kind, True, ", ".join(names) or "all that are on sale")

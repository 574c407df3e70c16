"""What `probe` tries at Hetzner, each with a cure; nothing here costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from decent_cloud.drivers.contract import Check, DriverError, Limit, Probe
from decent_cloud.drivers.hetzner import mapping
from decent_cloud.drivers.hetzner.api import PERMISSION, HetznerApi
from decent_cloud.drivers.hetzner.catalogue import Catalogue, missing_names
from decent_cloud.drivers.hetzner.settings import HetznerSettings
from decent_cloud.drivers.parts.catalogue_trials import catalogue_checks
from decent_cloud.drivers.parts.token_file import check_token_file

_NEW_TOKEN = "make a token with Read & Write in the console, Security, API tokens"  # noqa: S105 - a sentence


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
        checks += _about_catalogue(catalogue(), settings)
    except DriverError as error:
        names = {"token": not seen, "permission": len(checks) == 2, "catalogue": True}
        name = next(name for name, here in names.items() if here)
        cure = f"{PERMISSION}: {_NEW_TOKEN}" if name != "catalogue" else "try again later"
        checks.append(Check(name, False, error.message, cure))
    return Probe(seen, frozenset({Limit.CPU, Limit.MEMORY, Limit.DISK}), tuple(checks))


def _about_catalogue(catalogue: Catalogue, settings: HetznerSettings) -> Iterator[Check]:
    missing = missing_names(catalogue, settings)
    return catalogue_checks(
        "Hetzner", missing, settings.images, lambda plan: catalogue.choose(plan, settings)
    )

"""What `probe` tries at Vultr, each with a cure; nothing here costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from decent_cloud.drivers.contract import AuthFailed, Check, DriverError, Limit, Probe
from decent_cloud.drivers.parts.catalogue_trials import catalogue_checks
from decent_cloud.drivers.parts.token_file import check_token_file
from decent_cloud.drivers.vultr import mapping
from decent_cloud.drivers.vultr.api import RIGHTS, VultrApi
from decent_cloud.drivers.vultr.catalogue import Catalogue, missing_names
from decent_cloud.drivers.vultr.settings import VultrSettings

NEW_KEY = (
    "make an API key in the customer portal, Account, API, allow this host's address there, "
    f"and give its user the rights {', '.join(RIGHTS)}"
)


def run(
    api: Callable[[], VultrApi], catalogue: Callable[[], Catalogue], settings: VultrSettings
) -> Probe:
    """Try key, rights and catalogue; what fails is a check, never an error."""
    checks = [check_token_file(settings.token_file, NEW_KEY)]
    seen, step = "", "token"
    try:
        account = api().account()
        seen = mapping.fingerprint(account)
        checks.append(Check("token", True, f"the account is {seen}"))
        step = "permission"
        checks.append(_rights_check(account))
        api().instances(label="dc-probe")
        step = "catalogue"
        checks += _about_catalogue(catalogue(), settings)
    except DriverError as error:
        cure = NEW_KEY if isinstance(error, AuthFailed) else "try again later"
        checks.append(Check(step, False, error.message, cure))
    return Probe(seen, frozenset({Limit.CPU, Limit.MEMORY, Limit.DISK}), tuple(checks))


def _rights_check(account: Mapping[str, object]) -> Check:
    held = account.get("acls")
    if not isinstance(held, list):
        return Check("permission", True, "Vultr does not say which rights the key has")
    missing = [each for each in RIGHTS if each not in held]
    if missing:
        return Check("permission", False, f"the key's user lacks: {', '.join(missing)}", NEW_KEY)
    return Check("permission", True, "the key may order, switch and delete")


def _about_catalogue(catalogue: Catalogue, settings: VultrSettings) -> Iterator[Check]:
    missing = missing_names(catalogue, settings)
    return catalogue_checks(
        "Vultr", missing, settings.images, lambda plan: catalogue.choose(plan, settings)
    )

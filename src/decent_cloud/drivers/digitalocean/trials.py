"""What `probe` and `check_plan` try at DigitalOcean, each with a cure; nothing here costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from decent_cloud.drivers.contract import AuthFailed, Check, DriverError, Limit, Probe
from decent_cloud.drivers.digitalocean import mapping
from decent_cloud.drivers.digitalocean.api import DigitalOceanApi
from decent_cloud.drivers.digitalocean.catalogue import Catalogue, missing_names
from decent_cloud.drivers.digitalocean.settings import DigitalOceanSettings
from decent_cloud.drivers.parts.catalogue_trials import catalogue_checks
from decent_cloud.drivers.parts.token_file import check_token_file

NEW_TOKEN = (
    "make a token in the control panel, API, with full access or the scopes account:read, "  # noqa: S105
    "droplet:create, droplet:read, droplet:update, droplet:delete, tag:create, tag:read, image:read, "
    "regions:read, sizes:read, ssh_key:create, ssh_key:read"
)
_AGAIN = "try again later"


def run(
    api: Callable[[], DigitalOceanApi],
    catalogue: Callable[[], Catalogue],
    settings: DigitalOceanSettings,
) -> Probe:
    """Try token, permissions and catalogue; what fails is a check, never an error."""
    checks = [check_token_file(settings.token_file, NEW_TOKEN)]
    seen, step = "", "token"
    try:
        account = api().account()
        seen = mapping.fingerprint(account)
        checks.append(_account_check(account))
        step = "permission"
        # What a list by a tag of our own shows also shows that tags can be read.
        api().tagged(mapping.platform_tag("probe"))
        api().key_named(mapping.KEY_NAME)
        step = "catalogue"
        now = catalogue()
        step = "permission"
        api().try_writing()
        checks.append(Check(step, True, "the token may order, switch and delete"))
        step = "catalogue"
        checks += _about_catalogue(now, settings)
    except DriverError as error:
        cure = NEW_TOKEN if isinstance(error, AuthFailed) else _AGAIN
        step = "permission" if isinstance(error, AuthFailed) and seen else step
        checks.append(Check(step, False, error.message, cure))
    return Probe(seen, frozenset({Limit.CPU, Limit.MEMORY, Limit.DISK}), tuple(checks))


def _account_check(account: dict[str, object]) -> Check:
    status, said = str(account.get("status", "")), str(account.get("status_message") or "")
    if status == "locked":
        return Check(
            "token", False, f"the account is locked: {said}", "ask DigitalOcean to unlock it"
        )
    return Check("token", True, f"the account is {mapping.fingerprint(account)}, {status}")


def _about_catalogue(catalogue: Catalogue, settings: DigitalOceanSettings) -> Iterator[Check]:
    missing = missing_names(catalogue, settings)
    return catalogue_checks(
        "DigitalOcean", missing, settings.images, lambda plan: catalogue.choose(plan, settings)
    )

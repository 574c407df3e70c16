"""Picks a driver for this host by trying each for real, best first, and says which and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decent_cloud.drivers import registry
from decent_cloud.kernel.errors import DecentError, Invalid, Kind

AUTO = "auto"
ORDER = ("docker", "sandbox")  # the better isolation first


class NoDriverWorks(DecentError):
    """No driver that `auto` tries can make a machine on this host."""

    code = "no_driver_works"
    kind = Kind.INVALID


@dataclass(frozen=True, slots=True)
class Choice:
    """The driver chosen, its own settings, and a sentence for people: what it is and what failed before it."""

    driver: str
    settings: Mapping[str, object]
    why: str


def choose(settings: Mapping[str, object], platform: str) -> Choice:
    """Return the first driver whose probe makes a machine; its settings are the table of its name.

    Takes seconds: machines are made and removed. Errors: Invalid naming a table that is no driver's,
    NoDriverWorks saying what each lacks.
    """
    tables = _tables(settings)
    lacking: list[str] = []
    for name in ORDER:
        lack = _lack(name, tables[name], platform)
        if not lack:
            before = f" ({'; '.join(lacking)})" if lacking else ""
            return Choice(name, tables[name], f"{name} makes machines here{before}")
        lacking.append(f"{name}: {lack}")
    raise NoDriverWorks(f"no driver makes machines here ({'; '.join(lacking)})")


def _tables(settings: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    tables: dict[str, Mapping[str, object]] = {name: {} for name in ORDER}
    for name, value in settings.items():
        if name not in tables or not isinstance(value, Mapping):
            known = " and ".join(f"[driver_settings.{each}]" for each in ORDER)
            raise Invalid(f"with driver = {AUTO!r} there are {known}, no {name!r}", field=name)
        tables[name] = value
    return tables


def _lack(name: str, settings: Mapping[str, object], platform: str) -> str:
    """Return what keeps a driver from making machines; empty for nothing."""
    try:
        driver = registry.load(name, settings, platform)
    except registry.DriverNotLoadable as error:
        return error.message
    try:
        failed = [check for check in driver.probe().checks if not check.passed]
    finally:
        driver.close()
    return f"{failed[0].name}: {failed[0].detail}" if failed else ""

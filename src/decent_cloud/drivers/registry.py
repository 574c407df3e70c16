"""Which drivers are installed, and how one is built from its settings by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, Self, cast

from decent_cloud.drivers.contract import Driver
from decent_cloud.kernel.errors import DecentError, Kind

GROUP = "decent_cloud.drivers"


class DriverFactory(Protocol):
    """What an entry point of the group names: a driver class that reads its own settings."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver; raises Invalid for a setting unknown, missing or of a wrong type."""
        ...


class UnknownDriver(DecentError):
    """No installed driver has this name."""

    code = "unknown_driver"
    kind = Kind.NOT_FOUND


class DriverNotLoadable(DecentError):
    """The driver is installed but cannot be imported."""

    code = "driver_not_loadable"
    kind = Kind.INVALID


def known() -> tuple[str, ...]:
    """Return the names of the installed drivers, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def load(name: str, settings: Mapping[str, object], platform: str) -> Driver:
    """Build the driver called `name` for the platform with this id.

    Errors: UnknownDriver listing the known ones, DriverNotLoadable naming the missing extra,
    Invalid naming a bad setting.
    """
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise UnknownDriver(
            f"no driver is called {name!r}; known are: {', '.join(known()) or 'none'}",
            known=list(known()),
        )
    driver = _import(found[0]).from_settings(settings, platform)
    return cast("Driver", driver)


def _import(entry: EntryPoint) -> type[DriverFactory]:
    """Import the class behind an entry point; say what to install where its library is absent."""
    try:
        return cast("type[DriverFactory]", entry.load())
    except ModuleNotFoundError as error:
        missing = error.name or "a module"
        distribution = entry.dist.name if entry.dist else "decent-cloud"
        raise DriverNotLoadable(
            f"the driver {entry.name!r} needs the library {missing!r}; "
            f"install it with: pip install '{distribution}[{entry.name}]'",
            missing=missing,
        ) from error
    except (ImportError, AttributeError) as error:
        raise DriverNotLoadable(f"the driver {entry.name!r} does not load: {error}") from error

"""Tries everything an agent needs, for real, and says what to do about what fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from decent_cloud.agent.journal import PLATFORM_ID, PROVIDER, Journal
from decent_cloud.agent.offered import all_offered, compare
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import SKEW_TOLERATED_MS, Transport
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.drivers.contract import AuthFailed, CanCheckPlan, Check, Driver, DriverError
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.status import Permission
from decent_cloud.wire.v1.plan_checks import OfferedPlan

T = TypeVar("T")

MIN_FREE_MIB = 200
NEEDED = frozenset(
    {
        Permission.FETCH_CONTRACTS,
        Permission.PROVISION,
        Permission.HEARTBEAT,
        Permission.HEALTH_CHECK,
    }
)


@dataclass(frozen=True, slots=True)
class Patient:
    """What can be examined; each opener raises a DecentError saying why it cannot.

    `verify_api`: compare every published offering of the pool with the backend's live catalogue too.
    """

    settings: AgentSettings
    keys: Callable[[], DeviceKeys]
    journal: Callable[[], Journal]
    driver: Callable[[str], Driver]
    verify_api: bool = False


def examine(patient: Patient) -> tuple[Check, ...]:
    """Run all checks; one that fails keeps only those from running that need what it tried."""
    return tuple(_examine(patient))


def _examine(patient: Patient) -> Iterator[Check]:
    yield _disk(Path(patient.settings.data_dir))
    keys, check = _opened("key", patient.keys, "run: dc-agent init")
    yield check
    journal, check = _opened("journal", patient.journal, "see the text; free disk space or restore")
    yield check
    if journal is not None:
        try:
            yield from _platform(patient.settings, keys, journal)
            yield from _backend(patient, keys, journal)
        finally:
            journal.close()


def _opened(name: str, opener: Callable[[], T], cure: str) -> tuple[T | None, Check]:
    try:
        return opener(), Check(name, True, "can be used")
    except DecentError as error:
        return None, Check(name, False, error.message, cure)


def _disk(folder: Path) -> Check:
    try:
        free_mib = shutil.disk_usage(folder).free // 2**20
    except OSError as error:
        return Check("disk", False, f"{folder}: {error.strerror}", "run: dc-agent init")
    enough = free_mib >= MIN_FREE_MIB
    cure = f"free disk space until {MIN_FREE_MIB} MiB are left: without it nothing is created"
    return Check("disk", enough, f"{free_mib} MiB free in {folder}", "" if enough else cure)


def _platform(
    settings: AgentSettings, keys: DeviceKeys | None, journal: Journal
) -> Iterator[Check]:
    try:
        with Transport(settings.platform) as line:
            api = AgentApi(line)
            view = api.platform()
            skew_ms = api.skew_ms
    except DecentError as error:
        cure = "check the address in `platform`, the network and the platform's certificate"
        yield Check("platform", False, error.message, cure)
        return
    yield Check("platform", True, f"{settings.platform} answers ({view.mode})")
    yield _clock(skew_ms)
    pinned = journal.fact(PLATFORM_ID)
    if not pinned:
        yield Check("registration", False, "not registered yet", "run: dc-agent register CODE")
        return
    if pinned != view.platform_id:
        cure = "point `platform` at the platform this agent registered with; nothing is touched until then"
        yield Check("registration", False, f"another platform answers: {view.platform_id}", cure)
        return
    yield Check("registration", True, f"the platform is the pinned one ({pinned[:12]})")
    if keys is not None:
        yield _delegation(settings, keys, AccountId(journal.fact(PROVIDER)))


def _clock(skew_ms: int) -> Check:
    off_s = abs(skew_ms) / 1_000
    fine = abs(skew_ms) <= SKEW_TOLERATED_MS
    way = "behind" if skew_ms > 0 else "ahead of"
    detail = f"{off_s:.1f} s {way} the platform"
    cure = "set the clock, for example with: timedatectl set-ntp true"
    return Check("clock", fine, detail, "" if fine else cure)


def _delegation(settings: AgentSettings, keys: DeviceKeys, provider: AccountId) -> Check:
    try:
        with Transport(settings.platform, DeviceAuth(provider, keys)) as line:
            me = AgentApi(line).me()
    except DecentError as error:
        cure = f"let the provider run: decent agents approve (this agent is {keys.kid})"
        return Check("delegation", False, error.message, cure)
    missing = sorted(NEEDED - set(me.permissions))
    if missing:
        cure = "let the provider delegate these permissions: decent agents approve"
        return Check("delegation", False, f"lacks {', '.join(missing)}", cure)
    if me.driver != settings.driver:
        cure = f"set driver = {me.driver!r}, or register with a pool for {settings.driver}"
        return Check("delegation", False, f"the pool is for the driver {me.driver}", cure)
    return Check("delegation", True, f"pool {me.pool}, {len(me.permissions)} permissions")


def _backend(patient: Patient, keys: DeviceKeys | None, journal: Journal) -> Iterator[Check]:
    name = patient.settings.driver
    try:
        driver = patient.driver(journal.fact(PLATFORM_ID) or "doctor")
    except DecentError as error:
        yield Check("driver", False, error.message, "check `driver` and `driver_settings`")
        return
    try:
        description = driver.describe()
        yield Check("driver", True, f"{name} {description.version}: {description.isolation}")
        if description.port_range is not None:
            yield _ports(patient.settings, journal, description.port_range)
        probe = driver.probe()
        yield from probe.checks
        limits = ", ".join(sorted(limit.value for limit in probe.limits)) or "none"
        yield Check("limits", True, f"kept for every instance: {limits}")
        if patient.verify_api:
            yield from _offerings(patient.settings, keys, AccountId(journal.fact(PROVIDER)), driver)
    finally:
        driver.close()


def _offerings(
    settings: AgentSettings, keys: DeviceKeys | None, provider: AccountId, driver: Driver
) -> Iterator[Check]:
    """Compare everything that the pool offers with what the backend has now."""
    if keys is None or not provider:
        yield Check("offerings", False, "not registered yet", "run: dc-agent register CODE")
        return
    try:
        with Transport(settings.platform, DeviceAuth(provider, keys)) as line:
            offered = tuple(all_offered(AgentApi(line)))
    except DecentError as error:
        cure = "see the checks of platform and delegation"
        yield Check("offerings", False, error.message, cure)
        return
    name = driver.describe().name
    against = "the live catalogue" if isinstance(driver, CanCheckPlan) else "what it can do"
    detail = f"{len(offered)} published in this pool, compared with {against} of {name}"
    yield Check("offerings", True, detail)
    for each in offered:
        yield from _offering(driver, each)


def _offering(driver: Driver, offered: OfferedPlan) -> Iterator[Check]:
    try:
        found = compare(driver, offered)
    except DriverError as error:
        cure = "see the driver's own checks" if isinstance(error, AuthFailed) else "try again later"
        yield Check(f"offering {offered.offering}", False, error.message, cure)
        return
    for check in found:
        yield replace(check, name=f"offering {offered.offering} {check.name}")


def _ports(settings: AgentSettings, journal: Journal, ports: tuple[int, int]) -> Check:
    first, last = ports
    taken = sum(first <= port <= last for port in journal.ports())
    free = last - first + 1 - taken
    if not settings.public_host:
        cure = "set public_host to the name or address under which tenants reach this machine"
        return Check("ports", False, "public_host is not set", cure)
    if not free:
        return Check("ports", False, f"{first}-{last} all taken", "widen the driver's port range")
    return Check("ports", True, f"{first}-{last} at {settings.public_host}, {free} free")

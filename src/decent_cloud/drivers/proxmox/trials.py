"""What `probe` and `check_plan` try at Proxmox, each with a cure; nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from decent_cloud.drivers.contract import Check, DriverError, Limit, Plan, Probe
from decent_cloud.drivers.proxmox import mapping, permissions
from decent_cloud.drivers.proxmox.api import ProxmoxApi
from decent_cloud.drivers.proxmox.census import Census
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings
from decent_cloud.kernel.errors import DecentError

_OTHERS_MAY_READ = 0o007
_GIB = 1 << 30
_MIB = 1 << 20
_TOKEN_CURE = "pveum user token add USER@REALM NAME, and write USER@REALM!NAME=SECRET into the file"  # noqa: S105 - a command
_TEMPLATE_CURE = "make a template (dc-agent setup proxmox, or docs/drivers/proxmox.md)"
Reading = Callable[[], tuple[ProxmoxApi, Census]]


def run(scope: Callable[[], str], reading: Reading, settings: ProxmoxSettings) -> Probe:
    """Try everything that a rental needs; what fails is a check, never an error."""
    checks = [_token_file(settings.token_file)]
    seen = ""
    try:
        api, census = reading()
        version = api.version()
        seen = scope()
        checks.append(Check("token", True, f"Proxmox VE {version}, {seen}"))
        checks += permissions.checks(version, settings, api.permissions)
        guests = census.take()
        checks += [_template(api, guests, name, vmid) for name, vmid in settings.images.items()]
        checks += _storages(api, settings)
        checks.append(_bridge(api, settings))
        checks.append(_left_overs(census, guests, settings))
    except DecentError as error:
        name = "cluster" if seen else "token"
        cure = "see what the answer says, and the permissions above" if seen else _TOKEN_CURE
        checks.append(Check(name, False, error.message, cure))
    limits = frozenset({Limit.CPU, Limit.MEMORY, Limit.DISK})
    return Probe(seen, limits, tuple(checks))


def is_same(scope: Callable[[], str], known: str) -> bool:
    """Tell whether the cluster that was tried still answers."""
    try:
        return scope() == known
    except DriverError:
        return False


def plan_checks(
    plan: Plan, api: ProxmoxApi, census: Census, settings: ProxmoxSettings
) -> tuple[Check, ...]:
    """Compare an offering with what the node has now."""
    vmid = settings.images.get(plan.image)
    checks = []
    if plan.settings:
        cure = "remove the offering's driver settings"
        checks.append(Check("settings", False, f"unknown: {', '.join(plan.settings)}", cure))
    if vmid is None:
        known = ", ".join(sorted(settings.images))
        cure = f"offer one of {known}, or add it to the driver's images"
        checks.append(Check("image", False, f"{plan.image!r} is not in the settings", cure))
    else:
        checks.append(_template(api, census.take(), plan.image, vmid, plan.disk_gib))
    checks += [_size(plan, api, settings), _space(plan, api, settings), _bridge(api, settings)]
    return tuple(checks)


def _token_file(path: str) -> Check:
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        return Check("token file", False, f"{path}: {type(error).__name__}", _TOKEN_CURE)
    if mode & _OTHERS_MAY_READ:
        return Check("token file", False, f"{path} is open to others", f"chmod 600 {path}")
    return Check("token file", True, path)


def _template(
    api: ProxmoxApi,
    guests: dict[int, mapping.Machine],
    name: str,
    vmid: int,
    most_gib: int = 0,
) -> Check:
    title = f"template {name}"
    machine = guests.get(vmid)
    if machine is None:
        return Check(title, False, f"there is no VM {vmid}", _TEMPLATE_CURE)
    if not machine.template:
        cure = f"qm template {vmid}, or another id in `images`"
        return Check(title, False, f"the VM {vmid} is no template", cure)
    config = api.config(machine.node, vmid) or {}
    disk, size_gib = mapping.boot_disk(config)
    if not disk:
        return Check(title, False, f"the VM {vmid} has no boot disk", _TEMPLATE_CURE)
    if most_gib and size_gib > most_gib:
        cure = f"offer {size_gib} GiB of disk or more"
        return Check(title, False, f"its disk has {size_gib} GiB, more than {most_gib}", cure)
    return Check(title, True, f"VM {vmid}, {disk} of {size_gib} GiB")


def _storages(api: ProxmoxApi, settings: ProxmoxSettings) -> Iterator[Check]:
    for name, kind in ((settings.storage, "images"), (settings.seed_storage, "iso")):
        title = f"storage {name} for {kind}"
        storage = api.storage(settings.node, name)
        if storage is None:
            cure = f"correct the setting, or give the token Datastore.Audit on /storage/{name}"
            yield Check(title, False, f"the node {settings.node} shows no such storage", cure)
            continue
        if not int(storage.get("active") or 0):
            yield Check(title, False, "not active", f"pvesm status --storage {name}")
        elif kind not in str(storage.get("content") or "").split(","):
            cure = f"pvesm set {name} --content {storage.get('content')},{kind}"
            yield Check(title, False, f"takes {storage.get('content')} only", cure)
        else:
            yield Check(title, True, f"{int(storage.get('avail') or 0) // _GIB} GiB free")


def _bridge(api: ProxmoxApi, settings: ProxmoxSettings) -> Check:
    names = sorted(str(each.get("iface")) for each in api.bridges(settings.node))
    if settings.bridge in names:
        return Check("bridge", True, settings.bridge)
    cure = f"set `bridge` to one of: {', '.join(names) or 'none is there'}"
    return Check("bridge", False, f"the node has no bridge {settings.bridge}", cure)


def _left_overs(
    census: Census, guests: dict[int, mapping.Machine], settings: ProxmoxSettings
) -> Check:
    """Look for clones that a crash of the node left: they have no name and stay locked."""
    dead = [str(m.vmid) for m in guests.values() if settings.owns(m.vmid) and not m.name and m.lock]
    if dead and not census.clones_run(guests):
        cure = "; ".join(f"qm unlock {vmid} && qm destroy {vmid}" for vmid in dead)
        return Check("left-overs", False, f"dead clones hold ids: {', '.join(dead)}", cure)
    return Check("left-overs", True, "none")


def _size(plan: Plan, api: ProxmoxApi, settings: ProxmoxSettings) -> Check:
    status = api.node_status(settings.node)
    cpus = int((status.get("cpuinfo") or {}).get("cpus") or 0)
    memory_mib = int((status.get("memory") or {}).get("total") or 0) // _MIB
    detail = f"{settings.node} has {cpus} CPUs and {memory_mib} MiB of memory"
    if plan.cpu_milli > cpus * 1_000 or plan.memory_mib > memory_mib:
        return Check("size", False, detail, "offer less than the node has")
    return Check("size", True, detail)


def _space(plan: Plan, api: ProxmoxApi, settings: ProxmoxSettings) -> Check:
    storage = api.storage(settings.node, settings.storage)
    if storage is None or not int(storage.get("active") or 0):
        cure = f"correct the setting `storage`, or: pvesm status --storage {settings.storage}"
        return Check("space", False, f"the storage {settings.storage} is not there", cure)
    free_gib = int(storage.get("avail") or 0) // _GIB
    detail = f"{settings.storage} has {free_gib} GiB free"
    if free_gib < plan.disk_gib:
        return Check("space", False, detail, "free space, or set another `storage`")
    return Check("space", True, detail)

"""Which privileges the token needs on what, in PVE 8 and 9, and the commands that give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from decent_cloud.drivers.contract import Check
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings

ROLE = "DecentAgent"
_VMS = (
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",  # beside CDROM, to put our drive where a template has Proxmox's own
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
)
# VM.Monitor went away in 9, which has one privilege for each kind of call to the guest agent.
_GUEST = {8: ("VM.Monitor",), 9: ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")}
_FIRST_OF_9 = 9
_DISKS = ("Datastore.AllocateSpace", "Datastore.Audit")
# Proxmox lets an ISO image be removed by Datastore.Allocate only.
_SEEDS = ("Datastore.Allocate", "Datastore.AllocateTemplate", "Datastore.Audit")


def major(version: str) -> int:
    """Return the first number of a version; 0 where there is none."""
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 0


def needed(version: str, settings: ProxmoxSettings) -> dict[str, tuple[str, ...]]:
    """Return the privileges by path."""
    guest = _GUEST[9 if major(version) >= _FIRST_OF_9 else 8]
    paths: dict[str, tuple[str, ...]] = {
        "/vms": tuple(sorted((*_VMS, *guest))),
        f"/storage/{settings.storage}": _DISKS,
    }
    seeds = f"/storage/{settings.seed_storage}"
    paths[seeds] = tuple(sorted({*paths.get(seeds, ()), *_SEEDS}))
    vlan = f"/{settings.vlan}" if settings.vlan else ""
    paths[f"/sdn/zones/localnetwork/{settings.bridge}{vlan}"] = ("SDN.Use",)
    paths[f"/nodes/{settings.node}"] = ("Sys.Audit",)
    if settings.pool:
        paths[f"/pool/{settings.pool}"] = ("Pool.Allocate",)
    return paths


def checks(
    version: str, settings: ProxmoxSettings, read: Callable[[str], Mapping[str, bool]]
) -> Iterator[Check]:
    """Compare with what the token has, path by path."""
    for path, privileges in needed(version, settings).items():
        have = read(path)
        missing = [each for each in privileges if each not in have]
        if path == "/vms" and not missing and not all(have[each] for each in privileges):
            missing = ["the same with propagation to the VMs below"]
        name = f"permissions {path}"
        if missing:
            yield Check(
                name, False, f"the token lacks {', '.join(missing)}", cure(path, privileges)
            )
        else:
            yield Check(name, True, ", ".join(privileges))


def commands(version: str, settings: ProxmoxSettings, token: str) -> tuple[str, ...]:
    """Return the shell commands that make a token `user@pve!name` with just these privileges.

    The last one prints the secret, once.
    """
    user, _, name = token.partition("!")
    made = [f"pveum user add {user}", f"pveum user token add {user} {name} --privsep 0"]
    given = []
    for path, privileges in needed(version, settings).items():
        role = _role(path)
        given.append(f'pveum role add {role} --privs "{" ".join(privileges)}"')
        given.append(f"pveum acl modify {path} --users {user} --roles {role}")
    return (made[0], *given, made[1])


def cure(path: str, privileges: tuple[str, ...]) -> str:
    """Return the commands that give privileges on a path, for a shell on a node."""
    role = _role(path)
    return (
        f'pveum role add {role} --privs "{" ".join(privileges)}"; '
        f"pveum acl modify {path} --users USER@REALM --roles {role}"
    )


def _role(path: str) -> str:
    """Return one role's name for each path, since storages may need different privileges."""
    words = re.findall(r"[A-Za-z0-9]+", path)
    return ROLE + "-" + "-".join(words)

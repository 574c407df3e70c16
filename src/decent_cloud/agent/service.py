"""The systemd unit of a provider's agent: written from its settings, closed to what it does not need."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from decent_cloud.agent.settings import AgentSettings
from decent_cloud.kernel.errors import Invalid

UNIT = "dc-agent.service"
UNIT_FOLDER = Path("/etc/systemd/system")
_NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,30}\$?$")
_PLAIN = re.compile(r"^/[A-Za-z0-9_./+@:-]*$")  # nothing that systemd would read as its own
_MARGIN_S = 30

# Why some drivers need more than a user of their own; said when the unit is shown.
NEEDS = {
    "docker": (
        'docker: with isolation = "firewall" the agent sets rules of this host, so it is root, with the rights '
        'over the network alone. With isolation = "none" a user in the group docker is enough, who is as good '
        "as root on this host all the same: give the host nothing else to do."
    ),
    "sandbox": (
        "sandbox: user namespaces are needed, so RestrictNamespaces is off; as root, each machine gets a host "
        "user of its own. For development and trusted tenants only."
    ),
}
_SANDBOX = frozenset({"sandbox", "auto"})
_OPEN_NAMESPACES = frozenset({"sandbox", "script", "auto"})


@dataclass(frozen=True, slots=True)
class Service:
    """What the unit runs, as whom; `config` and `program` are full paths."""

    settings: AgentSettings
    config: Path
    program: Path
    user: str

    @property
    def writes(self) -> tuple[str, ...]:
        """Return the folders that the agent writes to: everything else is read-only to it."""
        found = [self.settings.data_dir]
        given = self.settings.driver_settings
        if self.settings.driver in _SANDBOX:
            table = given if self.settings.driver == "sandbox" else given.get("sandbox", {})
            folder = str(table.get("folder", "")) if isinstance(table, dict) else ""
            found.append(folder or "/var/lib/decent-sandbox")
        if self.settings.driver == "manual" and given.get("path"):
            found.append(str(Path(str(given["path"])).parent))
        return tuple(dict.fromkeys(found))

    @property
    def folder_given(self) -> bool:
        """Tell whether the settings say where sandboxes lie."""
        return "/var/lib/decent-sandbox" not in self.writes

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a person should know about the rights that this driver needs."""
        names = ("docker", "sandbox") if self.settings.driver == "auto" else (self.settings.driver,)
        return tuple(NEEDS[name] for name in names if name in NEEDS)


def unit_text(service: Service) -> str:
    """Return the whole unit file. Errors: Invalid naming what cannot stand in one."""
    _check(service)
    settings = service.settings
    lines = [
        "# Written by: dc-agent install-service. Changes belong into: systemctl edit dc-agent",
        "[Unit]",
        "Description=Provisioning agent of a compute provider",
        "Wants=network-online.target",
        f"After=network-online.target{' docker.service' if _docker(settings) else ''}",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={service.program} --config {service.config} run",
        f"User={service.user}",
        *(["SupplementaryGroups=docker"] if needs_group(service) else []),
        "Restart=always",
        "RestartSec=5",
        f"TimeoutStopSec={settings.drain_s + _MARGIN_S}",
        "KillMode=process" if settings.driver in _SANDBOX else "KillMode=mixed",
        "UMask=0077",
        *_hardening(service),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def install(text: str, folder: Path = UNIT_FOLDER) -> bool:
    """Write the unit, whole or not at all; tell whether that changed anything. Errors: Invalid."""
    path = folder / UNIT
    part = path.with_name(f".{UNIT}.{secrets.token_hex(4)}")
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        part.write_text(text, encoding="utf-8")
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        cure = "run this as root, or use --print and install it by hand"
        raise Invalid(f"{path} cannot be written ({error.strerror}); {cure}") from error
    return True


def _hardening(service: Service) -> list[str]:
    """Close what an agent never needs. The sandbox makes namespaces and mounts of its own."""
    lines = [
        "ProtectSystem=strict",
        *(f"ReadWritePaths={path}" for path in service.writes),
        "PrivateTmp=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelModules=yes",
        "RestrictRealtime=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "NoNewPrivileges=yes",
    ]
    if service.settings.driver in _OPEN_NAMESPACES:
        return lines
    return [
        *lines,
        "ProtectHome=read-only",
        "PrivateDevices=yes",
        "ProtectProc=invisible",
        "ProtectKernelTunables=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "MemoryDenyWriteExecute=yes",
        *_rights(service),
        "AmbientCapabilities=",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
    ]


def needs_group(service: Service) -> bool:
    """Tell whether the unit's user gets the engine's socket by the group docker."""
    return service.settings.driver == "docker" and service.user != "root"


def _rights(service: Service) -> list[str]:
    if not _firewall(service.settings):
        return ["CapabilityBoundingSet="]
    # iptables keeps its lock in /run.
    return ["CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW", "ReadWritePaths=/run"]


def _firewall(settings: AgentSettings) -> bool:
    given = settings.driver_settings.get("isolation", "firewall")
    return settings.driver == "docker" and given == "firewall"


def _docker(settings: AgentSettings) -> bool:
    return settings.driver in {"docker", "auto"}


def _check(service: Service) -> None:
    if not _NAME.match(service.user):
        raise Invalid(f"{service.user!r} is not a user's name", field="user")
    if _firewall(service.settings) and service.user != "root":
        raise Invalid(
            'the driver docker with isolation = "firewall" sets rules of this host: use --user root, or '
            'isolation = "none" where tenants are trusted',
            field="user",
        )
    if service.settings.driver in _SANDBOX and service.user != "root" and not service.folder_given:
        raise Invalid("set the sandbox driver's `folder`: a service has no home", field="folder")
    for field, path in [
        ("config", str(service.config)),
        ("program", str(service.program)),
        *(("data_dir", path) for path in service.writes),
    ]:
        if not _PLAIN.match(path):
            raise Invalid(
                f"{path!r} cannot stand in a unit: give a full path of plain letters", field=field
            )

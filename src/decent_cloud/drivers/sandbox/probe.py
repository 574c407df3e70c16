"""The functional trial of this host: a machine that runs, and a look around from inside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket

import asyncssh

from decent_cloud.drivers.contract import (
    Check,
    DriverError,
    InstanceSpec,
    Limit,
    Plan,
    Probe,
    Secret,
)
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.drivers.sandbox.machines import LIMITS_SAID, Machines
from decent_cloud.drivers.sandbox.settings import SandboxSettings
from decent_cloud.kernel.clock import MINUTE_MS, Clock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.isolation import TRUSTED_ONLY

MEMORY_MIB = 96
_LEFT_OVER_AGE_MS = 5 * MINUTE_MS
_LOGIN_TIMEOUT_S = 30
_MIB = 1024 * 1024
_NAMESPACES = (
    "let this user make user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu),"
    " kernel.unprivileged_userns_clone=1 (Debian); in a container: its seccomp profile and CAP_SYS_ADMIN"
)
_LOOK = """
grep -c : /proc/net/dev
ls -d /proc/[0-9]* | wc -l
unshare -U true 2>/dev/null && echo nested || echo refused
head -c {swallow} /dev/zero | tail -c {swallow} >/dev/null 2>&1 && echo swallowed || echo refused
sh -c 'i=0; while [ $i -lt {bomb} ]; do sleep 1 & i=$((i+1)); done; echo forked' 2>/dev/null
"""


class Trial:
    """Tries this host; its machines carry another platform's name, so that no list shows them."""

    def __init__(self, settings: SandboxSettings, machines: Machines, clock: Clock) -> None:
        self._settings = settings
        self._machines = machines
        self._clock = clock

    def run(self) -> Probe:
        """Make one machine, log in, look around; always remove it."""
        spec = self._spec()
        try:
            self._clear_left_overs()
            seen = self._machines.make(spec)
        except DriverError as error:
            failed = Check("machine", False, error.message, _NAMESPACES)
            return Probe("", frozenset(), (failed,))
        try:
            said = asyncio.run(self._look(spec))
        except (OSError, asyncssh.Error, ValueError) as error:
            login = Check("machine", False, f"no login: {error!r}", _cure())
            return Probe(seen.scope, frozenset(), (login,))
        finally:
            with contextlib.suppress(DriverError):
                self._machines.remove(spec.name, spec.contract)
        return self._judge(seen.scope, said)

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Say whether the image may be used and how much memory there is."""
        known = plan.image in self._settings.images
        images = ", ".join(self._settings.images)
        total_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MIB
        fits = plan.memory_mib <= total_mib
        cpus = os.cpu_count() or 1
        enough = plan.cpu_milli <= cpus * 1_000
        return (
            Check("image", known, plan.image, "" if known else f"use one of: {images}"),
            Check(
                "memory",
                fits,
                f"{plan.memory_mib} MiB of {total_mib} MiB",
                "" if fits else f"offer at most {total_mib} MiB",
            ),
            Check("cpu", enough, f"{cpus} here", "" if enough else f"offer at most {cpus} CPUs"),
        )

    def _judge(self, scope: str, said: list[str]) -> Probe:
        devices, processes, nested, swallowed, *bomb = [*said, "", "", "", ""]
        seen = f"{processes} processes and {devices} network devices seen inside"
        shut = devices == "1" and processes.isdigit() and int(processes) < 32
        below = nested == "refused"
        pids = "forked" not in bomb
        checks = (
            Check("machine", True, f"runs and lets in; {TRUSTED_ONLY}"),
            Check("isolation", shut and below, f"{seen}; a namespace inside: {nested}", _cure()),
            Check("limits", swallowed == "refused", LIMITS_SAID, "report this host's kernel"),
        )
        limits = frozenset({Limit.PIDS}) if pids else frozenset[Limit]()
        return Probe(scope, limits, checks)

    async def _look(self, spec: InstanceSpec) -> list[str]:
        script = _LOOK.format(swallow=2 * MEMORY_MIB * _MIB, bomb=2 * self._settings.max_pids)
        pinned = asyncssh.import_known_hosts(
            f"[{self._settings.bind}]:{spec.ssh_port} {spec.host_key.public}"
        )
        async with (
            asyncio.timeout(_LOGIN_TIMEOUT_S),
            asyncssh.connect(
                self._settings.bind,
                spec.ssh_port,
                username=spec.user,
                password=spec.password.reveal(),
                known_hosts=pinned,
                client_keys=[],
                agent_path=None,
                config=None,
            ) as connection,
        ):
            done = await connection.run(script, stdin=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL)
        return str(done.stdout).split()

    def _spec(self) -> InstanceSpec:
        contract = ContractId(f"probe-{secrets.token_hex(8)}")
        with socket.create_server((self._settings.bind, 0)) as free:
            port = int(free.getsockname()[1])
        return InstanceSpec(
            platform=self._machines.platform,
            contract=contract,
            attempt="probe",
            name=f"dc-{contract}",
            image=self._settings.images[0],
            cpu_milli=1_000,
            memory_mib=MEMORY_MIB,
            disk_gib=0,
            ssh_keys=(),
            host_key=make_host_key(secrets.token_bytes(SEED_BYTES)),
            password=Secret(secrets.token_urlsafe(24)),
            ssh_port=port,
        )

    def _clear_left_overs(self) -> None:
        """Remove machines of a trial that was killed."""
        for each in self._machines.owned(None):
            if each.created_at_ms < self._clock.now_ms() - _LEFT_OVER_AGE_MS and each.handle:
                with contextlib.suppress(DriverError):
                    self._machines.remove(each.handle.data["name"], each.contract)


def _cure() -> str:
    return "see the text; " + _NAMESPACES

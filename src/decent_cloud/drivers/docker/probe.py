"""The functional trial of an engine: machines that run, limits that hold, walls tried from inside."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from decent_cloud.drivers.contract import (
    Check,
    DriverError,
    InstanceSpec,
    Limit,
    NoCapacity,
    Probe,
    Secret,
)
from decent_cloud.drivers.docker import host_routes, trials
from decent_cloud.drivers.docker.api import Engine
from decent_cloud.drivers.docker.firewall import Firewall
from decent_cloud.drivers.docker.image import Images
from decent_cloud.drivers.docker.machines import Machines
from decent_cloud.drivers.docker.settings import DockerSettings
from decent_cloud.drivers.parts import tiny_rootfs
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.kernel.clock import MINUTE_MS, Clock
from decent_cloud.kernel.ids import ContractId

_BANNER_TIMEOUT_S = 10.0
_LEFT_OVER_AGE_MS = 5 * MINUTE_MS
_START_ENGINE = "start the engine and give the agent its socket (setting `engine`)"


class Trial:
    """Tries one engine; its machines carry another platform's name, so that no list shows them."""

    def __init__(
        self,
        engine: Engine,
        images: Images,
        firewall: Firewall,
        machines: Machines,
        settings: DockerSettings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._images = images
        self._firewall = firewall
        self._machines = machines
        self._settings = settings
        self._clock = clock

    def run(self) -> Probe:
        """Run every check that still makes sense after the ones before it."""
        try:
            info = self._engine.info()
            scope = self._machines.scope()
        except DriverError as error:
            failed = Check("engine", False, error.message, _START_ENGINE)
            return Probe("", frozenset(), (failed,))
        said = f"{info.get('ServerVersion')}, {info.get('Driver')}, {info.get('CgroupDriver')}"
        checks = [
            Check("engine", True, said),
            self._walls(),
            self._subnets(),
            *self._image_checks(),
        ]
        limits: frozenset[Limit] = frozenset()
        if all(check.passed for check in checks) and self._built_in():
            more, limits = self._run_machines()
            checks += more
        return Probe(scope, limits, tuple(checks))

    def _built_in(self) -> str:
        """Return the name of the image that trials use; empty where the provider left it out."""
        return next((name for name in self._images.names if self._images.is_built_in(name)), "")

    def _walls(self) -> Check:
        """Put the rules in place."""
        if self._settings.isolation == "none":
            return Check("walls", True, "none, by settings: tenants reach each other and this host")
        cure = (
            'run the agent as root with iptables, or set isolation = "none" for tenants you trust'
        )
        try:
            self._firewall.ensure()
        except DriverError as error:
            return Check("walls", False, error.message, cure)
        return Check("walls", True, "firewall rules are in place")

    def _subnets(self) -> Check:
        """See that this host's own networks and the range of ours lie apart."""
        others = host_routes.overlapping(self._settings.subnets)
        if others:
            cure = "set `subnets` to a range that this host does not use"
            return Check(
                "subnets", False, f"{self._settings.subnets} meets {', '.join(others)}", cure
            )
        return Check("subnets", True, f"{self._settings.subnets} is free on this host")

    def _image_checks(self) -> Iterator[Check]:
        for name in self._images.names:
            try:
                image = self._images.resolve(name)
                found = self._engine.has_image(image)
            except DriverError as error:
                yield Check(f"image {name}", False, error.message, tiny_rootfs.CURE)
                continue
            yield Check(f"image {name}", found, image, "" if found else f"docker pull {image}")

    def _run_machines(self) -> tuple[list[Check], frozenset[Limit]]:
        """Make two machines of two contracts and try everything on them; always remove them."""
        self._clear_left_overs()
        first, second = self._spec(), self._spec()
        try:
            with ThreadPoolExecutor(1) as aside:
                made = aside.submit(self._machines.make, second, disk_mib=0)
                disk = self._make(first)
                made.result()
            checks = [self._banner(first), self._banner(second)]
            inside = trials.Inside(self._engine, first.name)
            checks.append(self._isolation(inside, second.name))
            limits = trials.enforced(inside, disk=disk)
            wanted = frozenset({Limit.CPU, Limit.MEMORY, Limit.PIDS})
            missing = ", ".join(sorted(wanted - limits))
            cure = "enable the kernel's cgroup controllers for cpu, memory and pids"
            detail = f"not enforced: {missing}" if missing else ", ".join(sorted(limits))
            checks.append(Check("limits", not missing, detail, cure if missing else ""))
            return checks, limits
        except DriverError as error:
            failed = Check("machine", False, error.message, "see the engine's log")
            return [failed], frozenset()
        finally:
            with ThreadPoolExecutor(2) as aside:
                for spec in (first, second):
                    aside.submit(self._machines.remove, spec.name, spec.contract)

    def _make(self, spec: InstanceSpec) -> bool:
        """Make a machine with a disk limit, else without; tell which."""
        try:
            self._machines.make(spec, disk_mib=trials.DISK_MIB)
        except NoCapacity:
            raise
        except DriverError:
            self._machines.make(spec, disk_mib=0)
            return False
        return True

    def _spec(self) -> InstanceSpec:
        contract = ContractId(f"probe-{secrets.token_hex(8)}")
        return InstanceSpec(
            platform=self._machines.platform,
            contract=contract,
            attempt="probe",
            name=f"dc-{contract}",
            image=self._built_in(),
            cpu_milli=trials.CPU_MILLI,
            memory_mib=trials.MEMORY_MIB,
            disk_gib=1,
            ssh_keys=(),
            host_key=make_host_key(secrets.token_bytes(SEED_BYTES)),
            password=Secret(secrets.token_urlsafe(24)),
            ssh_port=_free_port(self._settings.bind),
        )

    def _banner(self, spec: InstanceSpec) -> Check:
        """See the machine's SSH banner on its published port."""
        host = "127.0.0.1" if self._settings.bind == "0.0.0.0" else self._settings.bind  # noqa: S104
        end = time.monotonic() + _BANNER_TIMEOUT_S
        while time.monotonic() < end:
            if (said := _first_line(host, spec.ssh_port)).startswith("SSH-2.0-"):
                return Check("machine", True, f"{spec.image} answers {said}")
            time.sleep(0.02)
        cure = "see the container's and the engine's log; is another firewall in the way?"
        return Check("machine", False, f"no SSH banner on {host}:{spec.ssh_port}", cure)

    def _isolation(self, inside: trials.Inside, neighbour: str) -> Check:
        """Try from inside to reach the neighbour and a listener on the host."""
        if self._settings.isolation == "none":
            return Check("isolation", True, "not tried: none, by settings")
        reached = trials.reached(inside, neighbour)
        if reached:
            cure = "put the agent on the engine's own host; look for rules before DOCKER-USER"
            return Check("isolation", False, f"reached from inside: {', '.join(reached)}", cure)
        return Check("isolation", True, "neither a neighbour nor the host can be reached")

    def _clear_left_overs(self) -> None:
        """Remove machines of a trial that was killed."""
        for each in self._machines.owned(None):
            if each.created_at_ms < self._clock.now_ms() - _LEFT_OVER_AGE_MS and each.handle:
                with contextlib.suppress(DriverError):
                    self._machines.remove(each.handle.data["name"], each.contract)


def _free_port(bind: str) -> int:
    with socket.socket() as listener:
        listener.bind((bind, 0))
        return int(listener.getsockname()[1])


def _first_line(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=1) as client:
            client.settimeout(1)
            return client.recv(256).split(b"\r\n")[0].decode("ascii", errors="replace")
    except OSError:
        return ""

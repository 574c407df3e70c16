"""One machine made and unmade with the configured driver alone: what a tenant would get, step by step and timed."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from decent_cloud.agent.management import management_key, own_key
from decent_cloud.agent.seal import SSH_PORT, InstanceSecrets, new_secrets
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    CanResetPassword,
    CanStop,
    CanTryPassword,
    Driver,
    Handle,
    InstanceSpec,
    Limit,
    NoCapacity,
    Observation,
    Plan,
    Probe,
    Rejected,
    Secret,
    TryLater,
)
from decent_cloud.drivers.parts.guest_ssh import (
    Entry,
    GuestDoor,
    run_command,
    set_password,
    try_password,
)
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import ContractId, RandomIds
from decent_cloud.kernel.status import Observed

T = TypeVar("T")

_LOOPBACK = "127.0.0.1"
_COMMAND = "echo $((40 + 2))"
_ANSWER = "42"
_LONGEST_PAUSE_S = 2.0
_REMOVE_WAIT_S = 300.0
_SETTLE_S = 180.0
_BITS = 40


@dataclass(frozen=True, slots=True)
class TrialStep:
    """What one step showed and how long it took."""

    name: str
    passed: bool
    detail: str
    took_ms: int


@dataclass(frozen=True, slots=True)
class TrialResult:
    """All steps, and what is still at the backend: nothing, unless it was to be kept."""

    contract: str
    passed: bool
    steps: tuple[TrialStep, ...]
    kept: str = ""
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """The machine to try; `platform` is the tag of tries, `lag_ms` how late the backend may show it."""

    platform: str
    machine: Plan
    user: str
    data_dir: str
    public_host: str = ""
    wait_s: float = 600.0
    lag_ms: int = 0
    taken: frozenset[int] = frozenset()
    keep: bool = False


@dataclass(slots=True)
class Trial:
    """One try. `say` is told of each step as it ends; what was made is removed whatever happens."""

    driver: Driver
    plan: TrialPlan
    say: Callable[[TrialStep], None] = lambda _step: None
    pause: Callable[[float], None] = time.sleep
    _steps: list[TrialStep] = field(default_factory=list)
    _detail: str = ""
    _handle: Handle | None = None
    _called: InstanceSpec | None = None
    _doubtful: bool = False

    def run(self) -> TrialResult:
        """Make, enter, reset and remove a machine. Never raises DecentError: what fails is a step."""
        contract = ContractId(RandomIds().new("c", secrets.randbits(_BITS)))
        interrupted = False
        try:
            self._go(contract)
        except DecentError:
            pass  # the step says it
        except KeyboardInterrupt:
            interrupted = True
        made_well = all(step.passed for step in self._steps) and not interrupted
        if self.plan.keep and self._handle is not None and not interrupted:
            return TrialResult(contract, made_well, tuple(self._steps), kept=contract)
        left = self._remove(self._called) if self._called else ()
        passed = made_well and all(step.passed for step in self._steps) and not left
        return TrialResult(contract, passed, tuple(self._steps), left=left)

    def _go(self, contract: ContractId) -> None:
        with self._step("backend"):
            probe = self._probe()
            self._detail = f"{self.driver.describe().backend}: {len(probe.checks)} checks passed"
        with self._step("create"):
            made = new_secrets()
            spec = self._spec(contract, made, probe)
            seen = self._create(spec)
            self._detail = f"{spec.image} as {spec.name}"
        with self._step("running"):
            seen = self._until_running(seen)
            self._detail = f"at {seen.host}:{seen.port or spec.ssh_port or SSH_PORT}"
        doors = self._doors(spec, seen)
        with self._step("login"):
            self._enter(spec, doors, spec.password)
        with self._step("reset"):
            self._reset(spec, doors)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began_s = time.monotonic()
        self._detail, passed = "", False
        try:
            yield
            passed = True
        except DecentError as error:
            self._detail = f"{error.message} ({error.code})"
            raise
        except KeyboardInterrupt:
            self._detail = "interrupted"
            raise
        finally:
            took_ms = round((time.monotonic() - began_s) * 1_000)
            step = TrialStep(name, passed, self._detail, took_ms)
            self._steps.append(step)
            self.say(step)

    def _probe(self) -> Probe:
        probe = self.driver.probe()
        for check in probe.checks:
            if not check.passed:
                raise Broken(f"{check.name}: {check.detail}; {check.cure or 'run dc-agent doctor'}")
        return probe

    def _spec(self, contract: ContractId, made: InstanceSecrets, probe: Probe) -> InstanceSpec:
        machine, ports = self.plan.machine, self.driver.describe().port_range
        general_way = not isinstance(self.driver, CanResetPassword)
        Path(self.plan.data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        return InstanceSpec(
            platform=self.plan.platform,
            contract=contract,
            attempt="trial",
            name=f"dc-{contract}",
            image=machine.image,
            cpu_milli=machine.cpu_milli,
            memory_mib=machine.memory_mib,
            # Where no limit can be kept, none is promised.
            disk_gib=machine.disk_gib if Limit.DISK in probe.limits else 0,
            ssh_keys=(own_key(self.plan.data_dir),),
            host_key=made.host_key,
            password=made.password,
            user=self.plan.user,
            ssh_port=_free_port(ports, self.plan.taken) if ports else 0,
            settings=machine.settings,
            management_key=own_key(self.plan.data_dir) if general_way else None,
        )

    def _create(self, spec: InstanceSpec) -> Observation:
        """Call create until it is known what came of it; the same contract never gets two machines."""

        def call() -> Observation:
            self._called, self._doubtful = spec, True
            seen = self.driver.create(spec)
            self._doubtful = False
            return seen

        try:
            seen = self._patiently(call)
        except (Rejected, NoCapacity):
            self._doubtful = False
            raise
        self._handle = seen.handle
        return seen

    def _until_running(self, seen: Observation) -> Observation:
        end_s, pause_s = time.monotonic() + self.plan.wait_s, 0.1
        while seen.state is not Observed.RUNNING:
            if seen.state is Observed.ABSENT or seen.handle is None:
                raise Broken(f"the machine vanished before it was up {seen.detail}".rstrip())
            if time.monotonic() > end_s:
                raise TryLater(f"not running after {self.plan.wait_s:g} s, but {seen.state}")
            if seen.state is Observed.STOPPED and isinstance(self.driver, CanStop):
                self.driver.start(seen.handle, seen.contract)
            self.pause(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
            seen = self._read(seen)
        self._handle = seen.handle or self._handle
        return seen

    def _read(self, seen: Observation) -> Observation:
        handle = seen.handle or self._handle
        if handle is None:
            raise Broken("the backend gave no handle for its machine")
        found = self._patiently(lambda: self.driver.inspect(handle, seen.contract))
        return replace(found, handle=found.handle or handle)

    def _doors(self, spec: InstanceSpec, seen: Observation) -> tuple[GuestDoor, ...]:
        """Return the address that tenants get and, where it is a port of this host, the host's own."""
        port = seen.port or spec.ssh_port or SSH_PORT
        hosts = [seen.host]
        if spec.ssh_port:
            hosts = [self.plan.public_host or seen.host, seen.host, _LOOPBACK]
        names = dict.fromkeys(host for host in hosts if host)
        return tuple(GuestDoor(host, port, spec.host_key.public) for host in names)

    def _enter(self, spec: InstanceSpec, doors: tuple[GuestDoor, ...], password: Secret) -> None:
        """Log in and run a command; a machine that is up may take a while until SSH answers."""
        if isinstance(self.driver, CanTryPassword) and self._handle is not None:
            if not self.driver.try_password(self._handle, spec.contract, spec.user, password):
                raise Broken("the password opens nothing")
            self._detail = f"{spec.user} gets in (this backend's machines have no SSH here)"
            return
        end_s = time.monotonic() + _SETTLE_S

        def settled() -> str:
            try:
                return self._run(spec.user, doors, password)
            except (AuthFailed, Broken) as error:
                # SSH may answer before the first start has put in host key and password.
                if time.monotonic() > end_s:
                    raise
                raise TryLater(error.message) from error

        said = self._patiently(settled)
        if said != _ANSWER:
            raise Broken(f"the command {_COMMAND!r} answered {said[:40]!r}")
        self._detail = f"{spec.user} by password over SSH, host key as given; a command ran"

    def _run(self, user: str, doors: tuple[GuestDoor, ...], password: Secret) -> str:
        for door in doors[:-1]:
            try:
                return run_command(door, user, password, _COMMAND)
            except TryLater:
                continue  # from inside, the public address may lead nowhere
        return run_command(doors[-1], user, password, _COMMAND)

    def _reset(self, spec: InstanceSpec, doors: tuple[GuestDoor, ...]) -> None:
        handle, fresh = self._handle, new_secrets().password
        if handle is None:
            raise Broken("the backend gave no handle for its machine")
        driver = self.driver
        if isinstance(driver, CanResetPassword):
            way = "by the backend"
            fresh = self._patiently(
                lambda: driver.reset_password(handle, spec.contract, spec.user, fresh)
            )
        elif isinstance(driver, CanTryPassword):
            self._detail = "this backend sets no passwords"
            return
        else:
            way = "over SSH with the agent's management key"
            key = management_key(Path(self.plan.data_dir))
            self._patiently(lambda: set_password(doors[-1], key, spec.user, spec.user, fresh))
        self._enter(spec, doors, fresh)
        if self._still_opens(spec, doors):
            raise Broken("the old password still opens the machine after the reset")
        self._detail = f"{way}; the new password works, the old one is refused"

    def _still_opens(self, spec: InstanceSpec, doors: tuple[GuestDoor, ...]) -> bool:
        driver = self.driver
        if isinstance(driver, CanTryPassword) and self._handle is not None:
            return driver.try_password(self._handle, spec.contract, spec.user, spec.password)
        entries = [try_password(door, spec.user, spec.password) for door in doors]
        return Entry.OPEN in entries

    def _remove(self, spec: InstanceSpec) -> tuple[str, ...]:
        """Remove the machine and read that it is gone; returns what is left and why."""
        try:
            with self._step("destroy"):
                self._destroy(spec)
                self._detail = "gone, as the backend itself says"
        except DecentError as error:
            return (f"{spec.name}: {error.message}",)
        except KeyboardInterrupt:
            return (f"{spec.name}: its removal was interrupted",)
        return ()

    def _destroy(self, spec: InstanceSpec) -> None:
        """Ask until nothing is there; after a doubtful create for as long as it may still come to light."""
        began_s, pause_s, why = time.monotonic(), 0.1, ""
        lag_s = self.plan.lag_ms / 1_000 if self._doubtful else 0.0
        while True:
            try:
                if self._destroy_once(spec.contract):
                    why, self._doubtful = "it is still being removed", False
                elif not self._doubtful:
                    return
                elif time.monotonic() - began_s >= lag_s:
                    self._settle(spec)
                    continue
            except DecentError as error:
                why = error.message
            if time.monotonic() - began_s > max(_REMOVE_WAIT_S, lag_s):
                raise TryLater(f"not gone after {_REMOVE_WAIT_S:g} s: {why}")
            self.pause(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)

    def _settle(self, spec: InstanceSpec) -> None:
        """Finish a create that broke off: lists do not show what only another create can finish."""
        with contextlib.suppress(Rejected, NoCapacity):  # a definite no: nothing is there
            self._handle = self.driver.create(spec).handle
        self._doubtful = False

    def _destroy_once(self, contract: ContractId) -> bool:
        """Ask the backend to remove all of this contract; tell whether anything was there."""
        found = [each for each in self.driver.list_owned(contract) if each.contract == contract]
        alive = False
        for each in found:
            if each.handle is not None:
                seen = self.driver.destroy(each.handle, contract)
                alive = alive or seen.state is not Observed.ABSENT
        if not found and self._handle is not None:
            seen = self.driver.destroy(self._handle, contract)
            alive = seen.state is not Observed.ABSENT
        return alive or any(each.handle is None for each in found)

    def _patiently(self, act: Callable[[], T]) -> T:
        """Try again where the backend says so, until the time is over."""
        end_s, pause_s = time.monotonic() + self.plan.wait_s, 0.2
        while True:
            try:
                return act()
            except TryLater:
                if time.monotonic() > end_s:
                    raise
                self.pause(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)


def usual_image(driver: str, settings: Mapping[str, object]) -> str:
    """Return an image to try: the first of the settings, else the driver's usual one, else empty."""
    images = settings.get("images")
    if isinstance(images, dict | list | tuple) and images:
        return str(next(iter(images)))
    return _USUAL_IMAGES.get(driver, "")


_USUAL_IMAGES = {
    "docker": "tiny",
    "sandbox": "host",
    "hetzner": "debian-12",
    "digitalocean": "debian-12",
    "vultr": "debian-12",
}


def _free_port(ports: tuple[int, int], taken: frozenset[int]) -> int:
    """Return a free port from the end of the range: agents reserve from its start. Errors: NoCapacity."""
    first, last = ports
    for port in range(last, first - 1, -1):
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise NoCapacity(f"no port of {first} to {last} is free")

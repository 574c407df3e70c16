"""Making, reading and removing one platform's containers; the engine's names are the only memory."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from decent_cloud.drivers.contract import (
    LABEL_ATTEMPT,
    LABEL_CONTRACT,
    Broken,
    DriverError,
    FirstRun,
    InstanceSpec,
    NoCapacity,
    Observation,
    Rejected,
    RunState,
    SshKey,
    Traffic,
    TryLater,
)
from decent_cloud.drivers.docker import access, mapping, network, traffic
from decent_cloud.drivers.docker.api import Engine, Missing, Taken
from decent_cloud.drivers.docker.image import Images
from decent_cloud.drivers.docker.settings import DockerSettings
from decent_cloud.kernel.clock import MINUTE_MS, Clock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

_ANCHOR = "decent-anchor"
_ANCHOR_LABEL = "dev.decent.anchor"
_ROUNDS = 3
_HALF_MADE = "never got its secrets"
_HALF_MADE_AGE_MS = MINUTE_MS
_EMPTY_NETWORK_AGE_MS = 10 * MINUTE_MS


class Machines:
    """The containers of one platform on one engine."""

    def __init__(
        self, engine: Engine, images: Images, settings: DockerSettings, platform: str, clock: Clock
    ) -> None:
        self._engine = engine
        self._images = images
        self._settings = settings
        self.platform = platform
        self._clock = clock
        self._turns: dict[str, threading.Lock] = {}
        self._scope = ""

    def scope(self) -> str:
        """Read the mark that lives in the engine's own store.

        The engine's id would not do: two engines of one host may share it, and an engine that came
        up with an empty store, its disk not mounted, keeps it.
        """
        found = self._engine.anchor(_ANCHOR, {_ANCHOR_LABEL: secrets.token_hex(16)})
        if not found.get(_ANCHOR_LABEL):
            raise Broken(f"the volume {_ANCHOR} on the engine is not ours; remove it")
        self._scope = f"docker-{found[_ANCHOR_LABEL]}"
        return self._scope

    def make(self, spec: InstanceSpec, *, disk_mib: int) -> Observation:
        """Make the container, finish a half-made one, or return the one there is."""
        if spec.platform != self.platform or not spec.name.startswith("dc-"):
            raise Rejected(f"{spec.name} of {spec.platform} is not for this driver to make")
        image = self._images.resolve(spec.image)
        with self._turn(spec.contract):
            scope = self.scope()
            for _ in range(_ROUNDS):
                made = self._make_once(spec, image, scope, disk_mib=disk_mib)
                if made is not None:
                    return made
        raise TryLater(f"another program is making {spec.name} too")

    def read(self, name: str, contract: ContractId) -> Observation:
        """Read one container; ABSENT carries the scope that was read in the same pass."""
        record = self._engine.inspect(name)
        if record is None:
            return self._absent(name, contract)
        if not self._owns(record, contract):
            raise Broken(f"the name {name} is held by a container that is not ours")
        return self._observe(record)

    def owned(self, contract: ContractId | None) -> tuple[Observation, ...]:
        """List the platform's containers; without a contract, also sweep what was left half-made.

        A container without its secrets that nobody here is making is no machine yet and not shown:
        the next `make` finishes it or makes it anew.
        """
        scope = self.scope()
        wanted = mapping.labels(self.platform, contract or "")
        if not contract:
            del wanted[LABEL_CONTRACT]
        networks = [] if contract else self._engine.networks(wanted)
        found = self._engine.containers(wanted)
        self._sweep_networks(networks, {each["Names"][0].lstrip("/") for each in found})
        seen = [
            (each["Id"], mapping.observe_listed(each, scope, self._settings.address))
            for each in found
        ]
        told = [(id_, self._told_apart(id_, each)) for id_, each in seen]
        if not contract:
            self._sweep_half_made(told)
        return tuple(each for _, each in told if each.detail != _HALF_MADE)

    def remove(self, name: str, contract: ContractId) -> Observation:
        """Remove container and network; ABSENT once a read says so."""
        with self._turn(contract):
            record = self._engine.inspect(name)
            if record is not None:
                self._require_ours(record, contract)
                with contextlib.suppress(Taken):  # its removal is on the way already
                    self._engine.remove(record["Id"], force=True)
                record = self._engine.inspect(name)
            if record is not None:
                return self._observe(record)
            network.remove_network(self._engine, name, self.platform, contract)
            return self._absent(name, contract)

    def switch(self, name: str, contract: ContractId, *, on: bool) -> Observation:
        """Start or stop the container."""
        with self._turn(contract):
            record = self._engine.inspect(name)
            if record is None:
                return self._absent(name, contract)
            self._require_ours(record, contract)
            if not on:
                self._engine.stop(record["Id"])
            elif self._lacks_secrets(record):
                raise TryLater(f"{name} {_HALF_MADE}; create it again")
            elif record["State"].get("Paused"):
                self._engine.unpause(record["Id"])
            else:
                self._engine.start(record["Id"])
        return self.read(name, contract)

    def set_password(self, name: str, contract: ContractId, user: str, password: str) -> None:
        """Set a user's password in a running container."""
        with self._inside(name, contract) as container:
            access.set_password(self._engine, container, user, password)

    def replace_keys(
        self,
        name: str,
        contract: ContractId,
        user: str,
        keys: tuple[SshKey, ...],
        kept: SshKey | None,
    ) -> None:
        """Replace a user's SSH keys in a running container."""
        with self._inside(name, contract) as container:
            access.replace_keys(self._engine, container, user, keys, kept)

    def read_keys(self, name: str, contract: ContractId, user: str) -> tuple[str, ...]:
        """Read which SSH keys a running container takes for a user."""
        with self._inside(name, contract) as container:
            return access.read_keys(self._engine, container, user)

    @contextlib.contextmanager
    def _inside(self, name: str, contract: ContractId) -> Iterator[str]:
        """Give the id of a container that is this contract's, for work inside it."""
        with self._turn(contract):
            record = self._engine.inspect(name)
            if record is None:
                raise Rejected(f"there is no container {name}")
            self._require_ours(record, contract)
            yield str(record["Id"])

    def traffic(self, name: str, contract: ContractId) -> Traffic:
        """Read what a container received and sent."""
        record = self._engine.inspect(name)
        if record is None:
            raise Rejected(f"there is no container {name}")
        self._require_ours(record, contract)
        return traffic.read(self._engine, record, self.platform, contract)

    def run_first(self, name: str, contract: ContractId, script: FirstRun) -> RunState:
        """Have a first script run at most once in a running container."""
        with self._turn(contract):
            record = self._engine.inspect(name)
            if record is None:
                raise Rejected(f"there is no container {name}")
            self._require_ours(record, contract)
            return access.run_first(self._engine, record["Id"], script)

    @contextlib.contextmanager
    def _turn(self, contract: str) -> Iterator[None]:
        """Let the threads of this program take turns at one contract."""
        with self._turns.setdefault(contract, threading.Lock()):
            yield

    def _is_being_made(self, contract: str) -> bool:
        turn = self._turns.get(contract)
        return turn is not None and turn.locked()

    def _make_once(
        self, spec: InstanceSpec, image: str, scope: str, *, disk_mib: int
    ) -> Observation | None:
        """Go through the steps once; None where what was in the way is gone now.

        The network is made meanwhile: it takes the engine as long as container and secrets do.
        """
        container = ""
        try:
            with ThreadPoolExecutor(1) as aside:
                made = aside.submit(self._ensure_network, spec)
                container = self._new_container(spec, image, made, disk_mib=disk_mib)
                if container:
                    self._put_secrets(container, spec)
                made.result()
        except (NoCapacity, Rejected, Broken):
            self._undo(container, spec)
            raise
        if not container:
            return self._existing(spec)
        self._start_first(container, spec)
        return mapping.observe_made(spec, scope, self._settings.address, self._clock.now_ms())

    def _new_container(
        self, spec: InstanceSpec, image: str, network_made: Future[None], *, disk_mib: int
    ) -> str:
        """Return the id of a new container; empty where the name is taken."""
        body = mapping.create_body(spec, image, self._settings, disk_mib=disk_mib)
        try:
            try:
                return self._engine.create(spec.name, body)
            except Missing as error:
                if "network" not in error.message:
                    raise
                network_made.result()  # this engine wants the network first
                return self._engine.create(spec.name, body)
        except Taken:
            return ""
        except Missing as error:
            self._images.forget(spec.image)
            raise Broken(f"the image {image} is not on the engine") from error

    def _ensure_network(self, spec: InstanceSpec) -> None:
        subnets = self._settings.subnets
        network.ensure_network(self._engine, spec.name, self.platform, spec.contract, subnets)

    def _existing(self, spec: InstanceSpec) -> Observation | None:
        """Return the container that holds the name, finished if it never ran; None if none is left.

        Nothing that was ever started is touched: it may hold a tenant's data.
        """
        record = self._engine.inspect(spec.name)
        if record is None:
            return None
        if not self._owns(record, spec.contract):
            self._forget_network(spec)
            raise Rejected(f"the container {spec.name} exists and is not ours")
        status = record["State"]["Status"]
        if status in {"removing", "dead"}:
            raise TryLater(f"{spec.name} is being removed", after_s=2)
        seen = mapping.observe_record(record, self._scope, self._settings.address)
        if status != "created":
            return seen
        if seen.attempt == spec.attempt and seen.port == spec.ssh_port:
            self._put_secrets(record["Id"], spec)
            self._start_first(record["Id"], spec)
        elif self._is_complete(record["Id"], seen.attempt):
            self._start_first(record["Id"], spec)
        else:
            self._discard(record["Id"])
            return None
        return self.read(spec.name, spec.contract)

    def _put_secrets(self, container: str, spec: InstanceSpec) -> None:
        """Put the secrets in; may be repeated with the same attempt."""
        shadow = None
        if not self._images.is_built_in(spec.image):
            shadow = access.first_file(self._engine.get(container, f"/{access.SHADOW}") or b"")
        try:
            self._engine.put(container, access.access_tar(spec, shadow))
        except Missing as error:
            raise TryLater(f"{spec.name} was replaced meanwhile", after_s=1) from error

    def _start_first(self, container: str, spec: InstanceSpec) -> None:
        """Start what never ran; where its port is taken, leave nothing behind."""
        try:
            self._engine.start(container)
        except Missing as error:
            raise TryLater(f"{spec.name} was replaced meanwhile", after_s=1) from error
        except (NoCapacity, Broken):
            self._undo(container, spec)
            raise

    def _undo(self, container: str, spec: InstanceSpec) -> None:
        """Leave nothing of a machine that cannot be made, as far as the engine lets us."""
        with contextlib.suppress(DriverError):
            if container:
                self._discard(container)
        self._forget_network(spec)

    def _forget_network(self, spec: InstanceSpec) -> None:
        """Remove the network of a machine that could not be made; the sweep gets what this misses."""
        with contextlib.suppress(DriverError):
            network.remove_network(self._engine, spec.name, self.platform, spec.contract)

    def _is_complete(self, container: str, attempt: str) -> bool:
        """Tell whether the secrets of this attempt were put in to the last file."""
        marker = self._engine.get(container, f"/{access.MARKER}")
        return marker is not None and access.first_file(marker) == attempt

    def _discard(self, container: str) -> None:
        """Remove by id what never ran; the engine refuses if somebody started it since."""
        with contextlib.suppress(Taken):
            self._engine.remove(container, force=False)

    def _owns(self, record: dict[str, Any], contract: str) -> bool:
        return mapping.is_ours(record["Config"].get("Labels") or {}, self.platform, contract)

    def _require_ours(self, record: dict[str, Any], contract: str) -> None:
        if not self._owns(record, contract):
            raise Rejected(f"the container {record['Name'].lstrip('/')} exists and is not ours")

    def _observe(self, record: dict[str, Any]) -> Observation:
        scope = self._scope or self.scope()
        seen = mapping.observe_record(record, scope, self._settings.address)
        return self._told_apart(record["Id"], seen)

    def _told_apart(self, container: str, seen: Observation) -> Observation:
        """Show a container that has its secrets and never ran as stopped: a start is all it lacks."""
        if seen.state is not Observed.CREATING or self._is_being_made(seen.contract):
            return seen
        if self._is_complete(container, seen.attempt):
            return replace(seen, state=Observed.STOPPED, detail="never started")
        return replace(seen, detail=_HALF_MADE)

    def _lacks_secrets(self, record: dict[str, Any]) -> bool:
        attempt = (record["Config"].get("Labels") or {}).get(LABEL_ATTEMPT, "")
        never_ran = record["State"]["Status"] == "created"
        return never_ran and not self._is_complete(record["Id"], attempt)

    def _absent(self, name: str, contract: ContractId) -> Observation:
        return Observation(contract, Observed.ABSENT, self.scope(), mapping.handle(name))

    def _sweep_half_made(self, found: list[tuple[str, Observation]]) -> None:
        """Remove containers that never got their secrets and that nobody came back to finish."""
        for container, seen in found:
            old = seen.created_at_ms < self._clock.now_ms() - _HALF_MADE_AGE_MS
            if old and seen.detail == _HALF_MADE:
                with contextlib.suppress(DriverError), self._turn(seen.contract):
                    self._discard(container)

    def _sweep_networks(self, networks: list[dict[str, Any]], taken: set[str]) -> None:
        """Remove networks whose container was never made, or whose maker died before their end."""
        for each in networks:
            old = (
                mapping.engine_time(each["Created"]) < self._clock.now_ms() - _EMPTY_NETWORK_AGE_MS
            )
            if old and each["Name"] not in taken:
                with contextlib.suppress(DriverError):
                    self._engine.remove_network(each["Id"])

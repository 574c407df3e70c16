"""Making, reading and removing one platform's machines in the folders of this host."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from decent_cloud.drivers.contract import (
    Broken,
    DriverError,
    FirstRun,
    Handle,
    InstanceSpec,
    Observation,
    Rejected,
    RunState,
    Secret,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.parts import run_once
from decent_cloud.drivers.parts.host_key import openssh_private
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.drivers.sandbox import launch, tenant_keys
from decent_cloud.drivers.sandbox.folders import (
    Folder,
    Record,
    Store,
    read_from_tenant,
    told,
    write_private,
)
from decent_cloud.drivers.sandbox.settings import SandboxSettings
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

DRIVER = "sandbox"
LIMITS_SAID = "memory limit: per process; no limit of CPU time and disk"
_NAME = re.compile(r"dc-[A-Za-z0-9-]{1,60}")
_SCRIPT = "#!"
ANSWER_S = 15.0  # what the server inside has for telling how a script stands

OnStep = Callable[[str], None]


class Machines:
    """The machines of one platform; the store's folders are the only memory.

    `on_step` is called with the name of each step that a program may be killed after.
    """

    def __init__(
        self,
        store: Store,
        settings: SandboxSettings,
        platform: str,
        clock: Clock,
        on_step: OnStep = lambda _step: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self.platform = platform
        self._clock = clock
        self._on_step = on_step

    def make(self, spec: InstanceSpec) -> Observation:
        """Make the machine, start one that never ran, or return the one there is."""
        self._check(spec)
        scope = self._store.scope()
        with self._store.turn(spec.name):
            folder = self._store.folder(spec.name)
            record = folder.record()
            if record is None:
                if folder.exists():
                    raise Rejected(f"the folder {folder.path} exists and is not ours")
                return self._make_new(spec, scope)
            self._require_ours(folder, record, spec.contract)
            if not folder.is_alive() and not folder.started.exists():
                self._start(folder, record)
            return self._seen(folder, record, scope)

    def read(self, name: str, contract: ContractId) -> Observation:
        """Read one machine; ABSENT carries the scope that was read in the same pass."""
        scope = self._store.scope()
        folder = self._store.folder(_checked(name))
        record = folder.record()
        if record is None:
            return self._absent(folder, contract, scope)
        self._require_ours(folder, record, contract)
        return self._seen(folder, record, scope)

    def owned(self, contract: ContractId | None) -> tuple[Observation, ...]:
        """List the platform's machines; without a contract, also sweep what killed programs left."""
        scope = self._store.scope()
        if contract is None:
            self._store.sweep()
        found = []
        for folder in self._store.folders():
            record = folder.record()
            if record is None or record.platform != self.platform:
                continue
            if contract is None or record.contract == contract:
                found.append(self._seen(folder, record, scope))
        return tuple(found)

    def remove(self, name: str, contract: ContractId) -> Observation:
        """End the machine and remove all of it; ABSENT once that is so."""
        scope = self._store.scope()
        with self._store.turn(_checked(name)):
            folder = self._store.folder(name)
            record = folder.record()
            if record is not None:
                self._require_ours(folder, record, contract)
                self._on_step("destroy:asked")
                launch.end(folder)
                self._on_step("destroy:ended")
                self._store.remove(folder)
                self._on_step("destroy:removed")
            return self._absent(folder, contract, scope)

    def switch(self, name: str, contract: ContractId, *, on: bool) -> Observation:
        """Start or stop the machine; home, port and host key stay."""
        scope = self._store.scope()
        with self._store.turn(_checked(name)):
            folder = self._store.folder(name)
            record = folder.record()
            if record is None:
                return self._absent(folder, contract, scope)
            self._require_ours(folder, record, contract)
            if not on:
                launch.end(folder)
                self._on_step("stop:ended")
            elif not folder.is_alive():
                self._start(folder, record)
            return self._seen(folder, record, scope)

    def set_password(self, name: str, contract: ContractId, user: str, password: Secret) -> None:
        """Put another hash in place; the server inside reads it at each login."""
        with self._entered(name, contract, user) as (folder, _):
            try:
                write_private(folder.shadow, hash_password(password.reveal()).encode(), 0o644)
            except OSError as error:
                raise told(error) from error
            self._on_step("reset:written")

    def replace_keys(
        self,
        name: str,
        contract: ContractId,
        user: str,
        keys: tuple[SshKey, ...],
        kept: SshKey | None,
    ) -> None:
        """Put other keys in place; the server inside reads them at each login."""
        with self._entered(name, contract, user) as (folder, record):
            tenant_keys.replace_keys(folder.home, record.uid, keys, kept)
            self._on_step("keys:written")

    def read_keys(self, name: str, contract: ContractId, user: str) -> tuple[str, ...]:
        """Read which keys the server inside takes."""
        with self._entered(name, contract, user) as (folder, _):
            return tenant_keys.read_keys(folder.home)

    @contextlib.contextmanager
    def _entered(self, name: str, contract: str, user: str) -> Iterator[tuple[Folder, Record]]:
        """Give the folder of a machine that is this contract's, for work on what lets into it."""
        self._store.open()
        with self._store.turn(_checked(name)):
            folder = self._store.folder(name)
            record = folder.record()
            if record is None:
                raise Rejected(f"{name} is gone")
            self._require_ours(folder, record, ContractId(contract))
            if user != "root":
                raise Rejected("machines of this driver have no other user than root", user=user)
            yield folder, record

    def run_first(self, name: str, contract: ContractId, script: FirstRun) -> RunState:
        """Ask the server inside, which alone can start programs there, and wait for its answer.

        Errors: Rejected, TryLater where it does not answer in time, Broken.
        """
        self._store.open()
        with self._store.turn(_checked(name)):
            folder = self._store.folder(name)
            record = folder.record()
            if record is None:
                raise Rejected(f"{name} is gone")
            self._require_ours(folder, record, contract)
            if not folder.is_alive():
                raise TryLater(f"{name} does not run", after_s=1)
            asked = f"{secrets.token_hex(8)}\n".encode()
            try:
                write_private(folder.asked, asked + run_once.standard_input(script), 0o644)
                return _answered(folder, asked)
            except OSError as error:
                raise told(error) from error

    def _check(self, spec: InstanceSpec) -> None:
        if spec.platform != self.platform or not _NAME.fullmatch(spec.name):
            raise Rejected(f"{spec.name} of {spec.platform} is not for this driver to make")
        if spec.user != "root":
            raise Rejected("machines of this driver are entered as root", user=spec.user)
        if spec.image not in self._settings.images:
            allowed = ", ".join(self._settings.images)
            raise Rejected(f"the image {spec.image} is not allowed; allowed: {allowed}")
        if spec.user_data and not spec.user_data.startswith(_SCRIPT):
            raise Rejected("machines of this driver take a script (#!...), no cloud-init")
        if not spec.ssh_port:
            raise Rejected("a machine of this driver needs a host port")

    def _make_new(self, spec: InstanceSpec, scope: str) -> Observation:
        """Take the port first: without it nothing is left behind."""
        with launch.listen(self._settings.bind, spec.ssh_port) as listener:
            self._on_step("create:port")
            folder = self._store.add(
                spec.name,
                lambda draft, uid: fill(draft, spec, uid, self._clock.now_ms()),
                self._settings.first_uid,
            )
            self._on_step("create:folder")
            record = folder.record()
            if record is None:
                raise TryLater(f"{folder.path} was removed meanwhile", after_s=1)
            try:
                self._start(folder, record, listener)
            except TryLater:
                raise  # it may run
            except DriverError:
                launch.end(folder)
                self._store.remove(folder)
                raise
        return self._seen(folder, record, scope)

    def _start(self, folder: Folder, record: Record, listener: socket.socket | None = None) -> None:
        """Start a machine on its own port."""
        try:
            if listener is None:
                with launch.listen(self._settings.bind, record.port) as own:
                    launch.start(folder, record, self._settings, own)
            else:
                launch.start(folder, record, self._settings, listener)
            self._on_step("create:spawned")
            folder.started.touch()
        except OSError as error:
            raise told(error) from error

    def _require_ours(self, folder: Folder, record: Record, contract: ContractId) -> None:
        if (record.platform, record.contract) != (self.platform, contract):
            raise Rejected(f"the machine {folder.name} exists and is not ours")

    def _seen(self, folder: Folder, record: Record, scope: str) -> Observation:
        alive = folder.is_alive()
        found = Observation(
            contract=ContractId(record.contract),
            state=Observed.RUNNING if alive else Observed.STOPPED,
            scope=scope,
            handle=handle(folder.name),
            host=self._settings.address,
            port=record.port,
            attempt=record.attempt,
            created_at_ms=record.created_at_ms,
            detail=LIMITS_SAID,
        )
        if not alive and not folder.exists():
            return replace(found, state=Observed.ABSENT)
        return found

    def _absent(self, folder: Folder, contract: ContractId, scope: str) -> Observation:
        if folder.exists() and folder.record() is None:
            raise Rejected(f"the folder {folder.path} exists and is not ours")
        return Observation(contract, Observed.ABSENT, scope, handle(folder.name))


def _answered(folder: Folder, asked: bytes) -> RunState:
    """Wait until the server inside tells what it was asked for last. Errors: TryLater, Broken, OSError."""
    deadline_s = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(FileNotFoundError):
            said = read_from_tenant(folder.told)
            if said.startswith(asked):
                code, _, rest = said[len(asked) :].partition(b"\n")
                if not code.isdigit():
                    raise Broken(f"{folder.name} told something odd about its first script")
                return run_once.read_state(int(code), rest)
        time.sleep(0.05)
    raise TryLater(f"{folder.name} did not say how its first script stands", after_s=2)


def handle(name: str) -> Handle:
    """Return the handle of a machine; the name is all it takes."""
    return Handle(DRIVER, {"name": name})


def fill(draft: Folder, spec: InstanceSpec, uid: int, now_ms: int) -> None:
    """Write all of a machine into a folder that nobody sees yet; the record comes last."""
    keys = [*spec.ssh_keys, *([spec.management_key] if spec.management_key else [])]
    ssh = draft.home / ".ssh"
    ssh.mkdir(mode=0o700, parents=True)
    write_private(ssh / "authorized_keys", "".join(f"{key.line()}\n" for key in keys).encode())
    if spec.user_data:
        write_private(draft.home / ".first-boot", spec.user_data.encode(), 0o700)
    draft.home.chmod(0o700)
    draft.access.mkdir(mode=0o755)
    write_private(draft.shadow, hash_password(spec.password.reveal()).encode(), 0o644)
    draft.etc.mkdir(mode=0o755)
    for name, text in _ETC.items():
        write_private(draft.etc / name, text.format(name=spec.name).encode(), 0o644)
    write_private(draft.host_key, openssh_private(spec.host_key))
    draft.lock.touch(mode=0o600)
    if uid:
        _give(draft.home, uid)
    record = Record(
        platform=spec.platform,
        contract=spec.contract,
        attempt=spec.attempt,
        port=spec.ssh_port,
        uid=uid,
        cpu_milli=spec.cpu_milli,
        memory_mib=spec.memory_mib,
        disk_gib=spec.disk_gib,
        created_at_ms=now_ms,
    )
    write_private(draft.path / "machine.json", codec.to_json(record))


_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hostname": "{name}\n",
    "hosts": "127.0.0.1 localhost {name}\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "profile": "umask 022\n",
    "motd": "development and trusted tenants only: {name} shares this host's kernel and programs\n",
}


def _give(folder: Path, uid: int) -> None:
    for each in (folder, *folder.rglob("*")):
        os.chown(each, uid, uid, follow_symlinks=False)


def _checked(name: str) -> str:
    """Refuse what could lead out of the machines' folder."""
    if not _NAME.fullmatch(name):
        raise Rejected(f"{name!r} is no machine's name")
    return name

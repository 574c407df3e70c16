"""A real driver over a fake cloud: same verbs, same errors, failures and delays as it is told."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Self, TypeVar

import msgspec

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    Check,
    Description,
    DriverError,
    FirstRun,
    Handle,
    InstanceSpec,
    Limit,
    NoCapacity,
    Observation,
    Probe,
    Rejected,
    RunState,
    Secret,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.fake.backend import (
    FakeBackend,
    Machine,
    fits,
    hashed,
    read_machines,
    read_scope,
    read_script,
)
from decent_cloud.drivers.fake.script import Fault, Script, Verb
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed, ScriptOutcome

NAME = "fake"
VERSION = "1"

T = TypeVar("T")
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class FakeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the fake driver; `script` is written over the file's when the driver is built."""

    path: str
    first_port: Port | None = None
    last_port: Port | None = None
    host: str = "127.0.0.1"
    script: dict[str, object] = {}


class FakeDriver:
    """The contract over a `FakeBackend`; also keeps `CanStop`, `CanResetPassword`, `CanTryPassword`, `CanRunFirst`."""

    def __init__(self, backend: FakeBackend, platform: str, settings: FakeSettings) -> None:
        self._backend = backend
        self._platform = platform
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver; raises Invalid for a setting unknown, missing or of a wrong type."""
        parsed = codec.convert(settings, FakeSettings)
        backend = FakeBackend(Path(parsed.path))
        if parsed.script:
            backend.change(**parsed.script)
        return cls(backend, platform, parsed)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        first, last = self._settings.first_port, self._settings.last_port
        ports = (first, last) if first is not None and last is not None else None
        return Description(NAME, VERSION, "a file that pretends to be a cloud", "none", ports)

    def probe(self) -> Probe:
        """Read the file; never raises DriverError."""
        cure = "check the `path` of the driver's settings, and the script in it"
        try:
            scope = self._call(Verb.PROBE, "", lambda db, _script: read_scope(db))
        except DriverError as error:
            return Probe("", frozenset(), (Check("backend", False, error.message, cure),))
        return Probe(scope, frozenset(Limit), (Check("backend", True, "the file answers"),))

    def scope(self) -> str:
        """Read the file's fingerprint."""
        return self._call(Verb.SCOPE, "", lambda db, _script: read_scope(db))

    def create(self, spec: InstanceSpec) -> Observation:
        """Make the machine, or return the one that this contract already has here.

        Where names are not unique, an existing one is found only as far as lists show it.
        """
        seen = self._look_up(spec)
        return self._call(
            Verb.CREATE, spec.contract, lambda db, script: self._make(db, script, spec, seen)
        )

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one machine by its id."""

        def read(db: sqlite3.Connection, script: Script) -> Observation:
            found = self._own(db, handle, contract)
            age_ms = self._backend.clock.now_ms() - found.created_at_ms if found else 0
            if found is None or age_ms < script.inspect_lag_ms:
                return Observation(contract, Observed.ABSENT, read_scope(db), handle)
            return self._observe(db, script, found)

        return self._call(Verb.INSPECT, contract, read)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Remove the machine; what is gone stays gone."""

        def remove(db: sqlite3.Connection, script: Script) -> Observation:
            found = self._own(db, handle, contract)
            if found is None:
                return Observation(contract, Observed.ABSENT, read_scope(db), handle)
            if found.deleted_at_ms is None:
                now = self._backend.clock.now_ms()
                db.execute("UPDATE instances SET deleted_at_ms = ? WHERE id = ?", (now, found.id))
            return self._observe(db, script, read_machines(db, "id = ?", (found.id,))[0])

        return self._call(Verb.DESTROY, contract, remove)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List the machines with our tag, stopped ones and those being deleted included."""

        def read(db: sqlite3.Connection, script: Script) -> tuple[Observation, ...]:
            seen = [self._observe(db, script, each) for each in self._visible(db, script, contract)]
            return tuple(each for each in seen if each.state is not Observed.ABSENT)

        return self._call(Verb.LIST, contract or "", read)

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Stop the machine; stopping a stopped one succeeds."""
        return self._call(
            Verb.STOP, contract, lambda db, script: self._switch(db, script, handle, contract, 1)
        )

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start the machine; starting a running one succeeds."""
        return self._call(
            Verb.START, contract, lambda db, script: self._switch(db, script, handle, contract, 0)
        )

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Let root in with this password and with no older one."""
        if user != "root":
            raise Rejected("the machines of the fake cloud know root only")

        def change(db: sqlite3.Connection, script: Script) -> Secret:
            found = self._running(db, script, handle, contract)
            row = (hashed(password.reveal()), found.id)
            db.execute("UPDATE instances SET password_hash = ? WHERE id = ?", row)
            return password

        return self._call(Verb.RESET, contract, change)

    def try_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> bool:
        """Tell whether root would be let in."""

        def look(db: sqlite3.Connection, script: Script) -> bool:
            found = self._running(db, script, handle, contract)
            return user == "root" and fits(password.reveal(), found.password_hash)

        return self._call(Verb.LOGIN, contract, look)

    def replace_keys(
        self,
        handle: Handle,
        contract: ContractId,
        user: str,
        keys: tuple[SshKey, ...],
        kept: SshKey | None,
    ) -> None:
        """Let root in with these keys and with no others but `kept`."""
        if user != "root":
            raise Rejected("the machines of the fake cloud know root only")

        def change(db: sqlite3.Connection, script: Script) -> None:
            found = self._running(db, script, handle, contract)
            lines = [key.line() for key in keys]
            if kept is not None and kept.line() in found.ssh_keys.splitlines():
                lines.append(kept.line())
            row = ("\n".join(lines), found.id)
            db.execute("UPDATE instances SET ssh_keys = ? WHERE id = ?", row)

        self._call(Verb.REPLACE_KEYS, contract, change)

    def read_keys(self, handle: Handle, contract: ContractId, user: str) -> tuple[str, ...]:
        """Return the keys that root is let in with."""

        def look(db: sqlite3.Connection, script: Script) -> tuple[str, ...]:
            found = self._running(db, script, handle, contract)
            return tuple(found.ssh_keys.splitlines()) if user == "root" else ()

        return self._call(Verb.READ_KEYS, contract, look)

    def run_first(self, handle: Handle, contract: ContractId, script: FirstRun) -> RunState:
        """Pretend to run a script once: for as long and with such an end as the cloud is told."""

        def run(db: sqlite3.Connection, told: Script) -> RunState:
            found = self._running(db, told, handle, contract)
            now_ms = self._backend.clock.now_ms()
            digest = hashlib.sha256(script.text.encode()).hexdigest()
            db.execute(
                "INSERT OR IGNORE INTO first_runs VALUES (?, ?, ?)", (found.id, digest, now_ms)
            )
            begun = "SELECT at_ms FROM first_runs WHERE machine = ?"
            begun_ms = int(db.execute(begun, (found.id,)).fetchone()[0])
            if now_ms < begun_ms + told.first_ms:
                return RunState(None)
            output = told.first_output.encode()
            return RunState(ScriptOutcome.EXITED, told.first_exit, output)

        return self._call(Verb.RUN, contract, run)

    def close(self) -> None:
        """Nothing is held open."""

    def _call(self, verb: Verb, contract: str, act: Callable[[sqlite3.Connection, Script], T]) -> T:
        """Record the call, wait and fail as the script says, and act in one transaction."""
        with self._backend.transaction() as db:
            now = self._backend.clock.now_ms()
            db.execute(
                "INSERT INTO calls (verb, contract, at_ms) VALUES (?, ?, ?)",
                (verb.value, contract, now),
            )
            script = read_script(db)
            fault = _take_fault(db, verb)
        time.sleep(script.before_ms.get(verb, 0) / 1_000)
        if fault is not None and fault is not Fault.ANSWER_LOST:
            raise _error(fault)
        with self._backend.transaction() as db:
            answer = act(db, script)
        time.sleep(script.after_ms.get(verb, 0) / 1_000)
        if fault is Fault.ANSWER_LOST:
            raise TryLater("the connection broke before the answer came")
        return answer

    def _look_up(self, spec: InstanceSpec) -> Machine | None:
        """Find the contract's machine where names are not unique: in what lists show."""
        with self._backend.transaction() as db:
            found = self._visible(db, read_script(db), spec.contract)
        return next((each for each in found if each.deleted_at_ms is None), None)

    def _visible(
        self, db: sqlite3.Connection, script: Script, contract: ContractId | None
    ) -> tuple[Machine, ...]:
        old_enough_ms = self._backend.clock.now_ms() - script.list_lag_ms
        where = "platform = ? AND created_at_ms <= ? AND ? IN ('', contract)"
        return read_machines(db, where, (self._platform, old_enough_ms, contract or ""))

    def _make(
        self, db: sqlite3.Connection, script: Script, spec: InstanceSpec, seen: Machine | None
    ) -> Observation:
        """Insert the machine unless the cloud knows the name, or the look-up saw it."""
        if script.unique_names:
            named = read_machines(db, "name = ? AND deleted_at_ms IS NULL", (spec.name,))
            seen = named[0] if named else None
        if seen is not None:
            if (seen.platform, seen.contract) != (self._platform, spec.contract):
                raise Rejected(f"the name {spec.name} is taken by something that is not ours")
            return self._observe(db, script, seen)
        alive = len(read_machines(db, "deleted_at_ms IS NULL", ()))
        if script.sold_out or (script.capacity is not None and alive >= script.capacity):
            raise NoCapacity("the fake cloud is sold out")
        return self._observe(db, script, self._insert(db, spec))

    def _insert(self, db: sqlite3.Connection, spec: InstanceSpec) -> Machine:
        cursor = db.execute(
            "INSERT INTO instances (name, platform, contract, attempt, image, host, port, host_key,"
            " ssh_keys, password_hash, created_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                spec.name,
                self._platform,
                spec.contract,
                spec.attempt,
                spec.image,
                self._settings.host,
                spec.ssh_port,
                spec.host_key.public,
                "\n".join(key.line() for key in _all_keys(spec)),
                hashed(spec.password.reveal()),
                self._backend.clock.now_ms(),
            ),
        )
        number = cursor.lastrowid or 0
        if not spec.ssh_port:  # a machine with an address of its own
            address = (f"198.18.{number // 250 % 256}.{number % 250 + 1}", 22, number)
            db.execute("UPDATE instances SET host = ?, port = ? WHERE id = ?", address)
        return read_machines(db, "id = ?", (number,))[0]

    def _own(self, db: sqlite3.Connection, handle: Handle, contract: ContractId) -> Machine | None:
        """Find the machine of a handle; one without our tags is refused."""
        found = read_machines(db, "id = ?", (int(handle.data["id"]),))
        if found and (found[0].platform, found[0].contract) != (self._platform, contract):
            raise Rejected(f"machine {found[0].id} is not ours or belongs to another contract")
        return found[0] if found else None

    def _running(
        self, db: sqlite3.Connection, script: Script, handle: Handle, contract: ContractId
    ) -> Machine:
        """Return a machine that can be talked to. Errors: Rejected, TryLater."""
        found = self._own(db, handle, contract)
        if found is None or found.deleted_at_ms is not None:
            raise Rejected("there is no such machine")
        if _state(found, script, self._backend.clock.now_ms()) is not Observed.RUNNING:
            raise TryLater("the machine does not run", after_s=1)
        return found

    def _switch(
        self,
        db: sqlite3.Connection,
        script: Script,
        handle: Handle,
        contract: ContractId,
        stopped: int,
    ) -> Observation:
        found = self._own(db, handle, contract)
        if found is None or found.deleted_at_ms is not None:
            return Observation(contract, Observed.ABSENT, read_scope(db), handle)
        db.execute("UPDATE instances SET stopped = ? WHERE id = ?", (stopped, found.id))
        return self._observe(db, script, read_machines(db, "id = ?", (found.id,))[0])

    def _observe(self, db: sqlite3.Connection, script: Script, machine: Machine) -> Observation:
        return Observation(
            contract=ContractId(machine.contract),
            state=_state(machine, script, self._backend.clock.now_ms()),
            scope=read_scope(db),
            handle=Handle(NAME, {"id": str(machine.id)}),
            host=machine.host,
            port=machine.port,
            attempt=machine.attempt,
            created_at_ms=machine.created_at_ms,
        )


def _state(machine: Machine, script: Script, now_ms: int) -> Observed:
    """Tell a machine's state from its row and the clock."""
    if machine.deleted_at_ms is not None:
        return (
            Observed.DELETING
            if now_ms < machine.deleted_at_ms + script.gone_ms
            else Observed.ABSENT
        )
    if now_ms < machine.created_at_ms + script.boot_ms:
        return Observed.CREATING
    return Observed.STOPPED if machine.stopped else Observed.RUNNING


def _take_fault(db: sqlite3.Connection, verb: Verb) -> Fault | None:
    """Use up the next fault told for this verb."""
    row = db.execute(
        "SELECT id, fault FROM faults WHERE verb = ? ORDER BY id LIMIT 1", (verb.value,)
    ).fetchone()
    if row is None:
        return None
    db.execute("DELETE FROM faults WHERE id = ?", (row[0],))
    return Fault(row[1])


def _error(fault: Fault) -> DriverError:
    """Return the error that a fault shows as."""
    errors: dict[Fault, DriverError] = {
        Fault.REJECTED: Rejected("the fake cloud refuses this"),
        Fault.NO_CAPACITY: NoCapacity("the fake cloud is sold out"),
        Fault.AUTH_FAILED: AuthFailed("the fake cloud does not know us"),
        Fault.TRY_LATER: TryLater("the fake cloud answered 503", after_s=1),
        Fault.BROKEN: Broken("the fake cloud answered nonsense"),
    }
    return errors[fault]


def _all_keys(spec: InstanceSpec) -> list[SshKey]:
    return [*spec.ssh_keys, *([spec.management_key] if spec.management_key else [])]

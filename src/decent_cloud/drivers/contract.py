"""What every backend driver offers the agent: six verbs, optional abilities, five errors, handles.

Drivers are synchronous and run in threads. They return soon and never wait for slow work: the agent
polls `inspect`. They keep no state of their own that the backend does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.ssh_keys import SshPublicKey
from decent_cloud.kernel.status import Observed, ScriptKind, ScriptOutcome

LABEL_PLATFORM = "dev.decent.platform"
LABEL_CONTRACT = "dev.decent.contract"
LABEL_ATTEMPT = "dev.decent.attempt"


class DriverError(DecentError):
    """The backend did not do what was asked."""

    code = "driver_error"
    kind = Kind.INTERNAL


class Rejected(DriverError):
    """The backend refuses this request and always will; do not retry."""

    code = "driver_rejected"
    kind = Kind.INVALID


class NoCapacity(DriverError):
    """The backend has no room, address or port for one more instance."""

    code = "driver_no_capacity"
    kind = Kind.EXHAUSTED


class AuthFailed(DriverError):
    """The backend does not accept our credentials or lacks a permission."""

    code = "driver_auth_failed"
    kind = Kind.FORBIDDEN


class TryLater(DriverError):
    """The backend cannot answer now; what it did is unknown until a read says so."""

    code = "driver_try_later"
    kind = Kind.TRY_LATER

    def __init__(self, message: str | None = None, *, after_s: int = 5, **details: object) -> None:
        """Say after how many seconds to try again."""
        super().__init__(message, after_s=after_s, **details)
        self.after_s = after_s


class Broken(DriverError):
    """The backend answered something this driver does not understand."""

    code = "driver_broken"


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that never shows in repr, logs or tracebacks."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """Return the plaintext; call it only where the backend needs it."""
        return self._value

    def __str__(self) -> str:
        return "[secret]"


SshKey = SshPublicKey  # a tenant's public key, made by SshPublicKey.parse


@dataclass(frozen=True, slots=True)
class HostKey:
    """The Ed25519 SSH host key that the agent made for an instance; `seed_hex` is its secret."""

    public: str  # "ssh-ed25519 AAAA..."
    seed_hex: Secret


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One machine to make.

    `attempt` names the set of secrets, so an adopted machine tells which it has. `ssh_port` is the
    host port the agent reserved (0 where the driver's machines have own addresses).
    """

    platform: str
    contract: ContractId
    attempt: str
    name: str  # dc-<contract>
    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    ssh_keys: tuple[SshKey, ...]
    host_key: HostKey
    password: Secret
    user: str = "root"
    ssh_port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)  # driver settings of the offering
    management_key: SshKey | None = (
        None  # the agent's own, for resets over SSH; beside the tenant's
    )
    user_data: str = ""  # the offering's cloud-init or script; runs once, after the first boot. The
    # agent puts cloud-config here alone: a script it has run once the machine is up

    @property
    def hostname(self) -> str:
        """Return what the machine calls itself."""
        return self.name


@dataclass(frozen=True, slots=True)
class Handle:
    """What a driver needs to find its instance again: opaque, versioned, kept by the agent."""

    driver: str
    data: Mapping[str, str]
    version: int = 1


@dataclass(frozen=True, slots=True)
class Observation:
    """One read of one instance. `scope` is the fingerprint of the backend that answered.

    ABSENT means: this backend answered and said there is none. It counts as gone only if `scope`
    equals the fingerprint journalled at create. Any doubt is an exception, never ABSENT.
    """

    contract: ContractId
    state: Observed
    scope: str
    handle: Handle | None = None
    host: str = ""
    port: int = 0
    attempt: str = ""
    created_at_ms: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One functional check with its cure for a person."""

    name: str
    passed: bool
    detail: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The kind of machine that an offering promises, before anyone rents one."""

    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    settings: Mapping[str, str] = field(default_factory=dict)  # driver settings of the offering


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a machine received and sent so far; it counts on over stops, from `since_ms`."""

    received_bytes: int
    sent_bytes: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class FirstRun:
    """A first script to run once in a machine; cloud-config came as user data and is only followed."""

    kind: ScriptKind
    text: str = field(repr=False)
    timeout_s: int


@dataclass(frozen=True, slots=True)
class RunState:
    """How a first script stands: `outcome` is None while it runs; `output` is the end of what it said."""

    outcome: ScriptOutcome | None
    exit_code: int = 0
    output: bytes = field(default=b"", repr=False)
    detail: str = field(default="", repr=False)


class Limit(StrEnum):
    """A limit that a backend may be able to enforce."""

    CPU = "cpu"
    MEMORY = "memory"
    PIDS = "pids"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Description:
    """What a driver is; `port_range` (first, last) where each instance needs a reserved port."""

    name: str
    version: str
    backend: str
    isolation: str
    port_range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a functional try of the backend showed: its fingerprint, enforced limits, each check."""

    scope: str
    limits: frozenset[Limit]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Tell whether an instance can be made here now."""
        return all(check.passed for check in self.checks)


class Driver(Protocol):
    """The six verbs, what it is and where it works."""

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        ...

    def probe(self) -> Probe:
        """Try the backend for real: an instance that runs, not a socket that exists.

        Never raises DriverError: what fails is a check.
        """
        ...

    def scope(self) -> str:
        """Read the fingerprint of the backend that answers now. Errors: AuthFailed, TryLater, Broken.

        An empty list says nothing about who answered: only if `scope` reads the same before and
        after it, and as journalled at create, does it count as evidence.
        """
        ...

    def create(self, spec: InstanceSpec) -> Observation:
        """Make the instance, or return the one that this contract already has here.

        The same contract never gets a second one: one that runs is returned with its own `attempt`,
        which may differ from the spec's; one that was never started is finished or made anew.
        A name taken by something not ours is Rejected.
        Errors: Rejected, NoCapacity, AuthFailed, TryLater (outcome unknown), Broken.
        """
        ...

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one instance; ABSENT only if the backend itself said so.

        Errors: AuthFailed, TryLater, Broken.
        """
        ...

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Ask the backend to remove the instance; destroying what is gone succeeds.

        Never touches what does not carry this platform's and this contract's tag (Rejected).
        """
        ...

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List all instances with our platform tag, stopped ones too; or only the contract's.

        What only another `create` can finish (it lacks its secrets and never ran) is not shown;
        what is complete and never ran is STOPPED.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class CanStop(Protocol):
    """A backend that can keep a stopped instance with its disk."""

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Stop the instance; stopping a stopped one succeeds."""
        ...

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start the instance; starting a running one succeeds."""
        ...


@runtime_checkable
class CanResetPassword(Protocol):
    """A backend that can set a password inside a running machine without the tenant."""

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Set the user's password and return the one that works now; no older one does.

        It is the given one, or the vendor's own where the vendor chooses. Repeating a call whose
        answer was lost is safe: what the last answer says works. Never touches what does not carry
        our tags (Rejected); a machine that is gone or has no such user is Rejected too.
        Errors: Rejected, AuthFailed, TryLater (which of the two works is unknown), Broken.
        """
        ...


@runtime_checkable
class CanReplaceKeys(Protocol):
    """A backend that can replace the SSH keys inside a running machine, and read which it takes."""

    def replace_keys(
        self,
        handle: Handle,
        contract: ContractId,
        user: str,
        keys: tuple[SshKey, ...],
        kept: SshKey | None,
    ) -> None:
        """Let these keys in as the user, and no others; `kept` stays if it is there.

        Done as a whole or not at all, and again without harm. Never touches what does not carry our
        tags (Rejected); a machine that is gone or has no such user is Rejected too.
        Errors: Rejected, AuthFailed, TryLater (which list is in force is unknown), Broken.
        """
        ...

    def read_keys(self, handle: Handle, contract: ContractId, user: str) -> tuple[str, ...]:
        """Return each line by which the machine lets this user in with a key.

        Errors: as `replace_keys`.
        """
        ...


@runtime_checkable
class CanTryPassword(Protocol):
    """A backend that can tell whether a password opens a machine; else the agent tries a login over SSH."""

    def try_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> bool:
        """Tell whether the machine lets this user in with this password.

        Errors: Rejected (gone, or not ours), AuthFailed, TryLater, Broken.
        """
        ...


@runtime_checkable
class CanRunFirst(Protocol):
    """A backend that can run a script inside a machine; else the agent does it over SSH with its own key."""

    def run_first(self, handle: Handle, contract: ContractId, script: FirstRun) -> RunState:
        """Start the script where it was never begun in this machine, and tell how it stands; returns soon.

        It runs at most once in one machine, however often and by whomever this is called: what marks
        that it was begun lies in the machine.
        Errors: Rejected (gone, not ours, no such ability), AuthFailed, TryLater (call again), Broken.
        """
        ...


@runtime_checkable
class CanMeter(Protocol):
    """A backend that counts a machine's traffic."""

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        """Read how much the machine received and sent so far, in bytes.

        Errors: Rejected (gone, or not ours), AuthFailed, TryLater, Broken.
        """
        ...


@runtime_checkable
class CanCheckPlan(Protocol):
    """A backend with a catalogue that can be asked before anyone rents."""

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Compare an offering with what the backend has now: image, size, place, architecture, stock.

        What does not fit is a failed check with its cure, never an error.
        Errors: AuthFailed, TryLater, Broken where the backend could not be asked.
        """
        ...

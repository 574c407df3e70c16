"""What the agent's journal holds: wants, instances, attempts, reports, quarantine, alarms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from decent_cloud.drivers.contract import Handle
from decent_cloud.kernel.ids import AccountId, ContractId, Digest
from decent_cloud.kernel.status import AssignmentState, Desired, Observed, ResetSubject


class Stage(StrEnum):
    """How far the work on one contract is; each step of it is journalled before the next begins."""

    SEEN = "seen"  # nothing was done yet; kept for its back-off
    LEASED = "leased"  # the platform gave us the work
    PREPARED = "prepared"  # looked up, order verified, secrets made and sealed, port reserved
    STARTED = "started"  # the platform allowed the create call; it may have happened
    CREATED = "created"  # the machine exists and is not up yet
    REPORTING = "reporting"  # it is up; the platform has not acknowledged that
    BOUND = "bound"  # the tenant's
    FAILED = "failed"  # could not be made; nothing is left behind
    DESTROYING = "destroying"  # until a read says gone
    GONE = "gone"  # a read said gone; the platform has not acknowledged that
    QUARANTINED = "quarantined"  # made by us and not to be used; the contract's end removes it
    ENDED = "ended"


MAKING = frozenset({Stage.LEASED, Stage.PREPARED, Stage.STARTED, Stage.CREATED, Stage.REPORTING})
MAY_EXIST = frozenset(
    {
        Stage.STARTED,
        Stage.CREATED,
        Stage.REPORTING,
        Stage.BOUND,
        Stage.DESTROYING,
        Stage.QUARANTINED,
    }
)


class ResetPhase(StrEnum):
    """How far a new password is, or new SSH keys; each step is journalled before the next begins."""

    CLAIMED = "claimed"  # ours to do
    SEALED = "sealed"  # a secret was made and sealed, or a list verified; nothing was called
    CALLED = "called"  # the machine was called; what works is not known
    APPLIED = "applied"  # the candidate works, the backend says; the platform does not know that
    TOLD = "told"  # the platform knows; nothing was tried
    VERIFIED = "verified"  # a login, or a second look, showed it; the platform does not know that
    FAILED = "failed"  # given up; the platform does not know that


@dataclass(frozen=True, slots=True)
class Reset:
    """A new password on its way, in its sealed form, never the secret itself; or SSH keys.

    `unsure` from the machine's call on until the platform knows what works: then the work must go on,
    whatever became of the request.
    """

    id: str
    phase: ResetPhase
    n: int = 0  # number of the sealed credential, or of the key list
    candidate: str = field(default="", repr=False)  # JSON of either
    rounds: int = 1
    refusals: int = 0
    unsure: bool = False
    failure: str = ""  # a ResetFailure
    detail: str = ""
    subject: ResetSubject = ResetSubject.PASSWORD

    def with_candidate(self, candidate: str) -> Reset:
        """Return it with what is to be set."""
        return replace(self, candidate=candidate)


@dataclass(frozen=True, slots=True)
class KnownList:
    """The newest SSH key list that was ever accepted here, 0 = none: no older one is, nor another of its number."""

    n: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class FirstScript:
    """The offering's script in a new machine: since when (0: not begun), and its sealed log once it is over.

    `fails` where the terms say that a machine in which it failed is not handed over.
    """

    begun_ms: int = 0
    log: str = field(default="", repr=False)  # JSON
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Want:
    """The platform's last trusted word about a contract; `named` says if its newest view has it."""

    contract: ContractId
    digest: Digest
    tenant: AccountId
    desired: Desired
    state: AssignmentState
    holder: str
    scope: str
    fence: int
    lease_expires_ms: int
    paid_until_ms: int
    deadline_ms: int
    renews: bool
    suspended: bool
    next_n: int
    named: bool = True
    reset: str = ""  # id of the reset that is open
    reset_subject: ResetSubject = ResetSubject.PASSWORD
    seen_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """One contract's machine as far as we know. `scope` is the backend's fingerprint at create.

    `create_called_ms` is the last create call (0: none ever began); `empties` counts empty look-ups
    since. The back-off in `next_try_ms` holds while `retry_for` is what is wanted.
    """

    contract: ContractId
    stage: Stage
    updated_at_ms: int
    fence: int = 0
    attempt: str = ""
    create_called_ms: int = 0
    create_failures: int = 0
    create_after_ms: int = 0  # no further create call before
    created_at_ms: int = 0
    empties: int = 0
    scope: str = ""
    handle: Handle | None = None
    host: str = ""
    port: int = 0
    bound: bool = False
    lost: bool = False  # another agent has the work: only what our own attempts made is ours
    absent_since_ms: int = 0
    health: Observed = Observed.UNKNOWN  # last told to the platform
    first: FirstScript | None = None  # until it is told
    reset: Reset | None = None
    reset_done: str = ""  # id of the last reset that ended here
    keys: KnownList = KnownList()
    tries: int = 0
    next_try_ms: int = 0
    retry_for: str = ""
    last_error: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One set of secrets: what is sealed of it, and the public host key; never the secrets."""

    id: str
    contract: ContractId
    created_at_ms: int
    host_key: str
    port: int  # reserved host port, 0 = the machine has an address of its own
    candidate: str = field(repr=False)  # JSON of the sealed credential


@dataclass(frozen=True, slots=True)
class Report:
    """Something the platform must be told; kept until it acknowledges. `key` makes it happen once."""

    key: str
    contract: ContractId
    body: str  # JSON of a ProvisioningReport
    created_at_ms: int
    tries: int = 0
    next_try_ms: int = 0
    last_error: str = ""
    refused: bool = False  # the platform will never take it; kept for people


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A machine on our backend that must not be used and is not ours to remove."""

    contract: ContractId
    instance: str  # the driver's handle as text
    reason: str
    first_seen_ms: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should look at; `name` is stable."""

    name: str
    text: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """What one journal commit writes, whole or not at all.

    With `flush` off it survives the process's death at once, the machine's only with the next flush:
    for what the platform tells again anyway.
    """

    instance: Instance
    attempt: Attempt | None = None
    reports: tuple[Report, ...] = ()
    acknowledged: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    frees_port: bool = False
    fulfils: Digest | None = None
    flush: bool = True

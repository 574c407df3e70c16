"""Agents: delegations, heartbeat, status, and their signed desired state."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.status import (
    AgentStatus,
    AsideWord,
    AssignmentState,
    ContractState,
    Desired,
    Observed,
    Permission,
)
from decent_cloud.wire.v1.first_scripts import FirstScriptView
from decent_cloud.wire.v1.money import Amount, B64u, Hex64, ShortText, Timestamp
from decent_cloud.wire.v1.statements import StatementWire


class CreateDelegation(Request, frozen=True):
    """A `dcx/deleg/v1` statement signed by a provider's device, and a label for people."""

    statement: StatementWire
    label: ShortText = ""


class RevokeDelegation(Request, frozen=True):
    """A `dcx/revoke/v1` statement signed by a provider's device."""

    statement: StatementWire


class DelegationView(Answer, frozen=True):
    """What an agent may do, and until when."""

    agent: str  # kid
    agent_pubkey: Hex64
    pool: str
    permissions: tuple[Permission, ...]
    not_after: int  # Unix seconds, 0 = none
    revoked: bool
    label: str
    digest: Hex64  # hash of the newest delegation or revocation, the next one's `prev`


class DelegationsView(Answer, frozen=True):
    """All delegations of a provider."""

    items: tuple[DelegationView, ...]


class Inventory(Request, frozen=True):
    """What an agent's host has: machines that run, room for more (null: not known), versions, host."""

    running: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    free: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    driver_version: ShortText = ""
    host: ShortText = ""


class AsideReport(Request, frozen=True):
    """A machine that an agent keeps aside: what it is, since when, and how it was last seen."""

    contract: Annotated[str, msgspec.Meta(max_length=64)]
    instance: ShortText
    reason: ShortText
    first_seen_at_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    state: Observed


class Heartbeat(Request, frozen=True):
    """Agent alive: its version, driver, backend scope, and how much it can still take."""

    version: ShortText
    driver: ShortText
    scope: ShortText
    instances: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    alarms: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=20)] = ()
    inventory: Inventory | None = None
    asides: Annotated[tuple[AsideReport, ...], msgspec.Meta(max_length=100)] = ()


class AgentView(Answer, frozen=True):
    """One agent as its provider sees it."""

    agent: str
    pool: str
    label: str
    status: AgentStatus
    version: str
    driver: str
    scope: str
    instances: int
    alarms: tuple[str, ...]
    last_seen_at: Timestamp | None
    running: int = 0
    free: int | None = None  # room for more machines, where the driver knows
    driver_version: str = ""
    host: str = ""
    asides: int = 0  # machines kept aside


class AgentsView(Answer, frozen=True):
    """All agents of a provider."""

    items: tuple[AgentView, ...]


class AsideView(Answer, frozen=True):
    """A machine that an agent keeps aside, what is said of it, and what it would have earned meanwhile."""

    agent: str
    contract: str
    contract_state: ContractState | None  # none: the platform knows no such contract
    instance: str
    reason: str
    state: Observed
    first_seen_at: Timestamp
    age_s: int
    cost: Amount | None
    word: AsideWord


class AsidesView(Answer, frozen=True):
    """All machines that a provider's agents keep aside."""

    items: tuple[AsideView, ...]


class DecideAside(Request, frozen=True):
    """A provider's word about one machine that an agent keeps aside."""

    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    word: AsideWord


class AsideWordView(Answer, frozen=True):
    """What the platform says of one machine that the calling agent keeps aside."""

    contract: str
    instance: str
    word: AsideWord


class AgentSelf(Answer, frozen=True):
    """Who the calling agent is and what it may do."""

    provider: Hex64
    agent: str
    pool: str
    driver: str
    permissions: tuple[Permission, ...]
    delegation: StatementWire
    platform_id: Hex64


class InstanceTerms(Answer, frozen=True):
    """What to make: resources and driver settings frozen from the offering at order time."""

    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    settings: dict[str, str]
    management_key: bool = False  # may be kept in the machine; the signed terms say so
    first_script: FirstScriptView | None = (
        None  # its text: GET /assignments/{contract}/first-script
    )


class AssignmentView(Answer, frozen=True):
    """One contract's desired instance state as work for an agent."""

    contract: str
    digest: Hex64
    state: AssignmentState
    desired: Desired
    attempt: int
    fence: int
    holder: str  # kid of the leasing agent, or empty
    lease_expires_at_ms: int
    scope: str  # backend scope once a create started
    tenant: Hex64
    order: StatementWire
    terms: InstanceTerms
    paid_until_ms: int  # 0 before the first paid second
    deadline_ms: int
    renews: bool
    suspended: bool
    next_n: int = 1  # number of the next credential
    reset: str = ""  # id of the password reset that is open, or empty
    keys_reset: str = ""  # id of the SSH keys' reset that is open, or empty
    key_list: StatementWire | None = None  # newest SSH keys signed since the order


class AssignmentsView(Answer, frozen=True):
    """The contracts of an agent's pool whose instance is still to be made."""

    items: tuple[AssignmentView, ...]


class DesiredView(Answer, frozen=True):
    """The whole desired state of a pool, as the signed payload of `SignedDesired`.

    `pin_hash` is the log's hash at the sequence number the agent asked about (empty if shorter).
    """

    platform_id: Hex64
    provider: Hex64
    pool: str
    seq: int
    hash: str
    pin_seq: int
    pin_hash: str
    issued_at_ms: int
    assignments: tuple[AssignmentView, ...]
    asides: tuple[AsideWordView, ...] = ()


class SignedDesired(Answer, frozen=True):
    """`payload` = b64u of the JSON of a DesiredView; `sig` over PAE("dcx/desired/v1", payload
    bytes).
    """

    payload: str  # a pool has any number of contracts, at some 2 KB each
    sig: B64u


class AgentEvent(Answer, frozen=True):
    """A hint on the agent's event stream: fetch the desired state now."""

    pool: str
    contract: str
    kind: str

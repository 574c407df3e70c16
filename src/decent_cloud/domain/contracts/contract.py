"""What a contract is; its lifecycle lives in `lifecycle.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decent_cloud.domain.keys.first_scripts import OrderedScript
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, OfferingId, PoolId, TermId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import AcceptMode, ContractState


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """What to make, frozen from the offering at order time."""

    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    settings: Mapping[str, str]
    reset: bool = False  # the terms promise new passwords
    management_key: bool = False  # the agent may keep a key of its own in the machine
    first_script: OrderedScript | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """The rental from payment to end. Times are 0 while they have not happened.

    `clock_from_ms` is when the running stretch of served time began (0 while the clock stands);
    `served_ms` is served time before it, over all terms.
    """

    id: ContractId
    digest: Digest
    tenant: AccountId
    provider: AccountId
    offering: OfferingId
    offering_title: str
    pool: PoolId
    state: ContractState
    state_since_ms: int
    deadline_ms: int  # 0 = none
    created_at_ms: int
    order: str  # JSON of the signed envelope
    offer_hash: str
    hours: int
    total_minor: int
    asset: Asset
    plan: InstancePlan
    accept_mode: AcceptMode
    provision_timeout_s: int
    penalty_ppm: int
    renews: bool
    self_rental: bool
    resume_to: str = ""
    resume_deadline_ms: int = 0
    active_since_ms: int = 0
    clock_from_ms: int = 0
    served_ms: int = 0
    paid_until_ms: int = 0
    suspended_ms: int = 0
    host: str = ""
    port: int = 0
    host_keys: tuple[str, ...] = ()
    checks_from_ms: int = 0  # first reachability check of this attempt
    end_reason: str = ""
    ended_at_ms: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Term:
    """One paid span. `from_ms`/`to_ms` are 0 until its clock starts; parts are cumulative, in minor
    units.

    `released_minor` is the gross earned and booked (provider's share + platform fee); `fee_minor` is in it.
    """

    id: TermId
    contract: ContractId
    ordinal: int
    hours: int
    asset: Asset
    amount_minor: int
    fee_ppm: int
    order: str  # JSON of the signed envelope that made this term
    digest: Digest
    paid: bool = False
    from_ms: int = 0
    to_ms: int = 0
    released_minor: int = 0
    fee_minor: int = 0
    refunded_minor: int = 0
    credited_minor: int = 0
    lost_minor: int = 0
    version: int = 1

    @property
    def held_minor(self) -> int:
        """What is still held for this term."""
        if not self.paid:
            return 0
        gone = self.released_minor + self.refunded_minor + self.credited_minor + self.lost_minor
        return self.amount_minor - gone


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One step of a contract's life."""

    contract: ContractId
    version: int  # the contract's version after the step: the order of the history
    at_ms: int
    actor: str
    event: str
    from_state: str
    to_state: ContractState
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """A sealed credential as the agent sent it: `outer` is its JSON."""

    contract: ContractId
    n: int
    gen: int
    outer: str
    agent: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class SealedLog:
    """The sealed log of a machine's first script as the agent sent it: `outer` is its JSON."""

    contract: ContractId
    n: int
    gen: int
    outer: str
    agent: str
    created_at_ms: int

"""Leases on assignments, and an agent's reports about provisioning and instances."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.status import (
    AssignmentState,
    ContractState,
    Desired,
    Observed,
    ProvisionFailure,
)
from decent_cloud.wire.v1.first_scripts import LogWire
from decent_cloud.wire.v1.money import B64u, ShortText

Fence = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class TakeLease(Request, frozen=True):
    """Ask to work on a contract; `scope` is the fingerprint of the agent's backend."""

    scope: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class RenewLease(Request, frozen=True):
    """Keep a lease."""

    fence: Fence


class StartCreate(Request, frozen=True):
    """Ask leave for the first create call; granted once per attempt."""

    fence: Fence
    scope: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class LeaseView(Answer, frozen=True):
    """A lease: send `fence` with everything you do under it."""

    contract: str
    state: AssignmentState
    desired: Desired
    attempt: int
    fence: int
    lease_expires_at_ms: int


class CredentialWire(Request, frozen=True):
    """A sealed credential's outer object; only the tenant's devices can open it."""

    ct: B64u
    gen: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    n: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    suite: Annotated[int, msgspec.Meta(ge=1, le=1)]
    v: Annotated[int, msgspec.Meta(ge=1, le=1)]


class ProvisionedReport(Request, frozen=True, tag="provisioned", tag_field="outcome"):
    """The machine runs: where it is, its public host keys, and the sealed credential."""

    fence: Fence
    scope: ShortText
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    host_keys: Annotated[tuple[ShortText, ...], msgspec.Meta(min_length=1, max_length=8)]
    credential: CredentialWire
    instance: ShortText = ""
    log: LogWire | None = None  # of the offering's first script


class FailedReport(Request, frozen=True, tag="failed", tag_field="outcome"):
    """The machine cannot be made, and none is left behind (`left_behind` names what may be)."""

    fence: Fence
    reason: ProvisionFailure
    detail: ShortText = ""
    left_behind: ShortText = ""
    log: LogWire | None = None  # of the offering's first script


class TerminatedReport(Request, frozen=True, tag="terminated", tag_field="outcome"):
    """A read said the machine is gone, from the backend with this fingerprint."""

    scope: ShortText
    detail: ShortText = ""


class QuarantinedReport(Request, frozen=True, tag="quarantined", tag_field="outcome"):
    """The agent keeps aside a machine that it must not use: what it is and why."""

    scope: ShortText
    instance: ShortText
    detail: ShortText = ""


ProvisioningReport = ProvisionedReport | FailedReport | TerminatedReport | QuarantinedReport


class ReportAnswer(Answer, frozen=True):
    """What the platform wants now; a late success is answered with `desired` absent."""

    contract: str
    contract_state: ContractState
    assignment_state: AssignmentState
    desired: Desired


class TrafficReport(Request, frozen=True):
    """What the backend counted of a machine since `since_ms`, in bytes."""

    received_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    sent_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    since_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class HealthReport(Request, frozen=True):
    """What the agent's last read of its backend said."""

    observed: Observed
    scope: ShortText
    observed_at_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    detail: ShortText = ""
    traffic: TrafficReport | None = None  # where the driver can meter

"""What an assignment is: one contract's desired instance state as work for an agent."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.kernel.ids import AccountId, ContractId, PoolId
from decent_cloud.kernel.status import AssignmentState, Desired, Observed


@dataclass(frozen=True, slots=True)
class Assignment:
    """A lease's fence only ever grows; `scope` is the backend's fingerprint from the first create
    call on.
    """

    contract: ContractId
    provider: AccountId
    pool: PoolId
    state: AssignmentState
    desired: Desired
    created_at_ms: int
    attempt: int = 0
    fence: int = 0
    holder: str = ""  # kid
    lease_expires_ms: int = 0
    scope: str = ""
    instance: str = ""
    observed: Observed = Observed.UNKNOWN
    observed_at_ms: int = 0
    ended_at_ms: int = 0
    version: int = 1

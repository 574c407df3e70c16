"""What is made new in a running machine, seen by the one who does it step by step: a password, or the SSH keys."""

from __future__ import annotations

from typing import Protocol

from decent_cloud.agent.records import Instance, Reset
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ResetFailure
from decent_cloud.wire.v1.resets import KeysApplied, PasswordApplied, ResetView


class GiveUp(Exception):
    """It cannot be done: tell the platform, and leave the machine as it is."""

    def __init__(self, failure: ResetFailure, detail: str) -> None:
        """Say why, for people on both sides."""
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


class Renewal(Protocol):
    """One kind of thing that is made new. `must_finish`: nobody else has what a begun call may have set."""

    must_finish: bool
    unproven: ResetFailure  # why it is given up where what was set does not show
    unproven_detail: str

    def number(self, answer: ResetView, reset: Reset) -> int:
        """Return the number of what comes next, after a claim."""
        ...

    def prepare(self, instance: Instance, reset: Reset) -> tuple[Instance, Reset]:
        """Make or verify what is to be set, as `candidate`; nothing is called yet. Raises GiveUp."""
        ...

    def is_at_hand(self, contract: ContractId, reset: Reset) -> bool:
        """Whether this process can set and prove the candidate; else another takes its place."""
        ...

    def apply(self, instance: Instance, reset: Reset) -> str:
        """Set it in the machine; return the candidate that works now. Errors: the driver's five."""
        ...

    def applied(self, instance: Instance, reset: Reset) -> PasswordApplied | KeysApplied:
        """Return the report that it is set."""
        ...

    def prove(self, instance: Instance, reset: Reset) -> bool:
        """Whether the machine shows it now. Errors: TryLater where it cannot be told."""
        ...

    def forget(self, contract: ContractId) -> None:
        """Drop what is kept in memory: it is not needed, or must not be used any more."""
        ...

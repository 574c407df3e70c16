"""Resets of passwords and SSH keys: what a tenant asks for and sees, and what an agent reports."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.status import ResetFailure, ResetOrigin, ResetState, ResetSubject
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.money import ShortText, Timestamp
from decent_cloud.wire.v1.statements import StatementWire

ResetName = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class ReplaceKeys(Request, frozen=True):
    """A `dcx/sshkeys/v1` statement signed by a tenant's device: all SSH keys that the machine takes."""

    statement: StatementWire


class ResetView(Answer, frozen=True):
    """One reset. `n` numbers the newest credential that came of it, 0 = none yet, or its SSH key list."""

    id: str
    contract: str
    origin: ResetOrigin
    state: ResetState
    requested_at: Timestamp
    state_since: Timestamp
    deadline: Timestamp | None
    agent: str  # kid of the agent that works on it, or empty
    n: int
    failure: ResetFailure | None
    detail: str
    next_n: int  # number of the next credential
    subject: ResetSubject = ResetSubject.PASSWORD


class ResetsView(Answer, frozen=True):
    """A contract's resets, oldest first; or those of a pool that are open."""

    items: tuple[ResetView, ...]


class ResetClaimed(Request, frozen=True, tag="claimed", tag_field="outcome"):
    """The agent works on it now. Without `reset`, its provider asks for a new password by itself; keys need one."""

    scope: Scope
    reset: Annotated[str, msgspec.Meta(max_length=80)] = ""


class PasswordApplied(Request, frozen=True, tag="applied", tag_field="outcome"):
    """The new password is set, and this is it, sealed; one with a newer number is always taken."""

    scope: Scope
    reset: ResetName
    credential: CredentialWire


class KeysApplied(Request, frozen=True, tag="applied", tag_field="outcome"):
    """The keys of list `n` are in the machine, and no others of the tenant."""

    scope: Scope
    reset: ResetName
    n: Count


class ResetVerified(Request, frozen=True, tag="verified", tag_field="outcome"):
    """A login with the password of credential `n` worked; or a second look found the keys of list `n`."""

    scope: Scope
    reset: ResetName
    n: Count


class ResetGivenUp(Request, frozen=True, tag="failed", tag_field="outcome"):
    """No new password or keys can be set, or none that stay and let anybody in."""

    scope: Scope
    reset: ResetName
    failure: ResetFailure
    detail: ShortText = ""


PasswordReport = ResetClaimed | PasswordApplied | ResetVerified | ResetGivenUp
KeysReport = ResetClaimed | KeysApplied | ResetVerified | ResetGivenUp

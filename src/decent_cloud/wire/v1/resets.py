"""Password resets: what a tenant sees of them, and what an agent reports."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.status import ResetFailure, ResetOrigin, ResetState
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.money import ShortText, Timestamp

ResetName = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ResetView(Answer, frozen=True):
    """One reset. `n` numbers the newest credential that came of it, 0 = none yet."""

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


class ResetsView(Answer, frozen=True):
    """A contract's resets, oldest first; or those of a pool that are open."""

    items: tuple[ResetView, ...]


class PasswordClaimed(Request, frozen=True, tag="claimed", tag_field="outcome"):
    """The agent works on it now. Without `reset`, its provider asks for a new password by itself."""

    scope: Scope
    reset: Annotated[str, msgspec.Meta(max_length=80)] = ""


class PasswordApplied(Request, frozen=True, tag="applied", tag_field="outcome"):
    """The new password is set, and this is it, sealed; one with a newer number is always taken."""

    scope: Scope
    reset: ResetName
    credential: CredentialWire


class PasswordVerified(Request, frozen=True, tag="verified", tag_field="outcome"):
    """A login with the password of credential `n` worked."""

    scope: Scope
    reset: ResetName
    n: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class PasswordFailed(Request, frozen=True, tag="failed", tag_field="outcome"):
    """No new password can be set, or none that lets anybody in."""

    scope: Scope
    reset: ResetName
    failure: ResetFailure
    detail: ShortText = ""


PasswordReport = PasswordClaimed | PasswordApplied | PasswordVerified | PasswordFailed

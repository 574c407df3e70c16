"""How a password reset ended, in words for people on both sides."""

from __future__ import annotations

from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.status import ResetFailure, ResetState
from decent_cloud.wire.v1.resets import ResetView

ENDED = frozenset({ResetState.VERIFIED, ResetState.FAILED, ResetState.EXPIRED})
_WHY = {
    ResetFailure.NO_ABILITY: "this machine's agent cannot set passwords",
    ResetFailure.REJECTED: "the machine did not take a new password",
    ResetFailure.AUTH_FAILED: "the agent has no way into the machine",
    ResetFailure.LOGIN_REFUSED: "the machine takes no login by password",
    ResetFailure.TIMED_OUT: "the agent did not finish in time",
    ResetFailure.CONTRACT_ENDED: "the contract ended",
}


class ResetFailed(Conflict):
    """No new password came of it; log in with your SSH key or the credential you have."""

    code = "reset_failed"


def why(ended: ResetView) -> str:
    """Say why a reset that ended brought no new password."""
    if ended.state is ResetState.EXPIRED:
        return "no agent took it up within 15 min; the old password still works"
    reason = _WHY[ended.failure] if ended.failure else "the agent could not do it"
    detail = f" ({_plain(ended.detail)})" if ended.detail else ""
    sealed = f"; the newest credential is number {ended.n}" if ended.n else ""
    return f"{reason}{detail}{sealed}"


def _plain(text: str) -> str:
    """Return text from elsewhere without what would drive a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)

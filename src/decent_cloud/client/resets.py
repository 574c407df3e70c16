"""SSH key lists signed for a machine, and how a reset of its password or keys ended, in words for people."""

from __future__ import annotations

from decent_cloud.client.rentals import Signer
from decent_cloud.client.statements import to_wire
from decent_cloud.domain.keys.key_lists import KeyList, sign_key_list
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.ssh_keys import SshPublicKey
from decent_cloud.kernel.status import ResetFailure, ResetState, ResetSubject
from decent_cloud.wire.v1.resets import ReplaceKeys, ResetsView, ResetView

ENDED = frozenset({ResetState.VERIFIED, ResetState.FAILED, ResetState.EXPIRED})
_WHY = {
    ResetFailure.NO_ABILITY: "this machine's agent has no way to do it",
    ResetFailure.REJECTED: "the machine does not take it",
    ResetFailure.AUTH_FAILED: "the agent has no way into the machine",
    ResetFailure.LOGIN_REFUSED: "the machine takes no login by password",
    ResetFailure.LIST_REFUSED: "the agent does not take the signed list of keys",
    ResetFailure.KEYS_DIFFER: "something in the machine puts other SSH keys in",
    ResetFailure.TIMED_OUT: "the agent did not finish in time",
    ResetFailure.CONTRACT_ENDED: "the contract ended",
}


class ResetFailed(Conflict):
    """Nothing new came of it; log in with the SSH key or the credential that you have."""

    code = "reset_failed"


def sign_keys(
    signer: Signer, contract: Digest, lines: tuple[str, ...], before: ResetsView
) -> ReplaceKeys:
    """Sign the next list of a contract: these keys, and no others; `before` are its resets so far.

    Errors: BadShape for what no reader would take; BadSshKey.
    """
    used = [one.n for one in before.items if one.subject is ResetSubject.SSH_KEYS]
    keys = tuple(SshPublicKey.parse(line) for line in sorted(set(lines)))
    account, pin = signer.chain.account_id, signer.chain.pin
    wish = KeyList(account, contract, pin, keys, max(used, default=0) + 1)
    return ReplaceKeys(statement=to_wire(sign_key_list(wish, signer.keys)))


def why(ended: ResetView) -> str:
    """Say why a reset that ended changed nothing, or not for good."""
    of_password = ended.subject is ResetSubject.PASSWORD
    if ended.state is ResetState.EXPIRED:
        old = "the old password still works" if of_password else "the old keys still work"
        return f"no agent took it up within 15 min; {old}"
    reason = _WHY[ended.failure] if ended.failure else "the agent could not do it"
    detail = f" ({_plain(ended.detail)})" if ended.detail else ""
    sealed = f"; the newest credential is number {ended.n}" if of_password and ended.n else ""
    return f"{reason}{detail}{sealed}"


def _plain(text: str) -> str:
    """Return text from elsewhere without what would drive a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)

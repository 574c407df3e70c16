"""`decent creds reset`: ask for a new password, follow the agent's work, open what it sealed."""

from __future__ import annotations

import click

from decent_cloud.cli.access import access_rows, access_shape, open_access
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.output import Output
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.contracts import ContractsApi
from decent_cloud.client.resets import ENDED, ResetFailed, why
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import SECOND_MS, parse_rfc3339
from decent_cloud.kernel.errors import NotFound, TryLater
from decent_cloud.kernel.status import ResetState, ResetSubject
from decent_cloud.wire.v1.resets import ResetView

_STEPS = {
    ResetState.REQUESTED: "requested: waiting for the agent",
    ResetState.FAILED: "failed",
    ResetState.EXPIRED: "expired",
}
_OF_PASSWORD = {
    ResetState.CLAIMED: "claimed: the agent makes a new password",
    ResetState.APPLIED: "applied: the agent tries to log in with it",
    ResetState.VERIFIED: "verified: a login with it worked",
    **_STEPS,
}
_OF_KEYS = {
    ResetState.CLAIMED: "claimed: the agent checks your signature and puts the keys in",
    ResetState.APPLIED: "applied: the agent reads what the machine takes now",
    ResetState.VERIFIED: "verified: the machine takes just these keys",
    **_STEPS,
}


class OldCredential(KeyRefused):
    """The platform shows an older credential than the one that the reset made."""

    code = "old_credential"


@click.command("reset", cls=Leaf, example="decent creds reset CONTRACT --reveal")
@click.argument("contract")
@click.option("--reveal", is_flag=True, help="Show the new password too.")
@click.option("--no-wait", is_flag=True, help="Return as soon as it is asked for.")
@pass_session
def reset(session: Session, contract: str, reveal: bool, no_wait: bool) -> None:
    """Ask for a new password of CONTRACT's machine, follow the work, open the new credential.

    The machine's agent makes it, seals it to your account and tries it; the platform never sees it.
    The old password is dead afterwards, your SSH keys stay. One at a time, three an hour. Ctrl-C
    leaves it running: decent creds show CONTRACT opens what comes of it.
    """
    asked = session.client.contracts.reset_password(contract)
    if no_wait:
        _show(session, asked, reveal=reveal, opened=False)
        return
    ended = until_verified(session, asked, f"decent creds show {contract}")
    _show(session, ended, reveal=reveal, opened=True)


def until_verified(session: Session, asked: ResetView, see: str) -> ResetView:
    """Follow a reset to its good end; `see` is where whoever leaves finds what became of it.

    Errors: ResetFailed.
    """
    try:
        ended = _follow(session.client.contracts, asked, session.out)
    except KeyboardInterrupt:
        session.out.say(f"The reset goes on without you. See: {see}")
        raise
    if ended.state is not ResetState.VERIFIED:
        raise ResetFailed(why(ended), reset=ended.id, state=ended.state.value)
    return ended


def _follow(contracts: ContractsApi, asked: ResetView, out: Output) -> ResetView:
    """Show each step as it comes; return the reset at its end."""
    began_ms = parse_rfc3339(asked.requested_at)
    words = _OF_PASSWORD if asked.subject is ResetSubject.PASSWORD else _OF_KEYS
    said = None
    stream = contracts.events(asked.contract)
    try:
        for _event in stream:
            found = _read(contracts, asked)
            if found.state is not said:
                said = found.state
                spent_ms = max(0, parse_rfc3339(found.state_since) - began_ms)
                out.say(
                    f"{spent_ms // SECOND_MS:>5}.{spent_ms % SECOND_MS // 10:02d} s  {words[found.state]}"
                )
            if found.state in ENDED:
                return found
    finally:
        stream.close()
    raise TryLater("the platform ended the stream; see: decent creds show")


def _read(contracts: ContractsApi, asked: ResetView) -> ResetView:
    for one in contracts.resets(asked.contract).items:
        if one.id == asked.id:
            return one
    raise NotFound("the platform knows nothing of this reset any more")


def _show(session: Session, found: ResetView, *, reveal: bool, opened: bool) -> None:
    credential = None
    if opened:
        credential = open_access(session, session.client.contracts.read(found.contract))
        if credential.subject.number < found.n:
            raise OldCredential
    if session.out.json:
        access = access_shape(credential, reveal=reveal) if credential else None
        session.out.data({"reset": codec.plain(found), "access": access})
        return
    rows = [("contract", found.contract), ("reset", found.id), ("state", found.state.value)]
    session.out.fields([*rows, *(access_rows(credential, reveal=reveal) if credential else [])])

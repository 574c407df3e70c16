"""Who may sign for an account: one device that may change the chain, and never an agent."""

from __future__ import annotations

from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState, Member, Pin
from decent_cloud.domain.keys.errors import WrongAccount, WrongSigner
from decent_cloud.domain.keys.statements import Statement, StatementType, verify_sole_signature


def verify_authority(
    statement_type: StatementType,
    statement: Statement,
    chain: ChainState,
    *,
    first_seen: bool = True,
) -> tuple[Json, Member]:
    """Verify that one device of rank 0 or 1 that is no agent signed; return payload and signer.

    `first_seen=False` admits a device revoked since: only for a statement accepted before.
    Errors: `WrongSigner`, `BadSignature`, `NotCanonical`.
    """
    allowed = [
        member.device
        for member in chain.members.values()
        if may_sign(member) and (member.revoked_seq is None or not first_seen)
    ]
    device = verify_sole_signature(statement_type, statement, allowed)
    return canonical.parse(statement.payload), chain.members[device.kid]


def may_sign(member: Member) -> bool:
    # An agent never may: it has rank 2, or it would not be in a chain.
    return member.device.is_admin


def check_account(account_id: str, chain: ChainState) -> None:
    """Refuse a payload that speaks for another account than its signer's.

    Errors: `WrongAccount`.
    """
    if account_id != chain.account_id:
        raise WrongAccount


def check_head(chain: ChainState, head: Pin, signer: Member, *, first_seen: bool) -> None:
    """See that this copy of the chain has the head that the signer saw, and that it might sign there.

    A statement accepted before stays valid when its device is revoked later.
    Errors: `UnknownHead` when this copy ends before that head; `Forked`, `WrongSigner`.
    """
    chain.check_contains(head)
    if not first_seen and not signer.active_at(head.seq):
        raise WrongSigner

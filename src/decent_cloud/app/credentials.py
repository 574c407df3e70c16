"""Sealed credentials as agents send them: looked at from outside, kept, opened by nobody here."""

from __future__ import annotations

from decent_cloud.app.accounts import load_chain
from decent_cloud.app.caller import Caller
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract, SealedCredential
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.credentials import sealed_from_json
from decent_cloud.kernel.codec import plain
from decent_cloud.kernel.errors import Conflict, Invalid
from decent_cloud.wire.v1.assignments import CredentialWire


class CredentialConflict(Conflict):
    """Another credential of this number is stored already; number the new one higher."""

    code = "credential_conflict"


def store_credential(
    uow: UnitOfWork, contract: Contract, caller: Caller, wire: CredentialWire, now_ms: int
) -> None:
    """Keep a sealed credential after a look at its outside; nobody here can open it.

    One with an older number than the newest changes nothing.
    Errors: Invalid, CredentialConflict.
    """
    sealed = sealed_from_json(plain(wire))
    newest_gen = load_chain(uow, contract.tenant).generation.number
    if sealed.generation > newest_gen:
        raise Invalid(
            f"the tenant's newest generation is {newest_gen}; seal to that one",
            field="credential.gen",
        )
    outer = canonical.write(sealed.to_json()).decode()
    before = uow.contracts.credential(contract.id)
    if before is not None and before.n >= sealed.number:
        if before.outer == outer or before.n > sealed.number:
            return
        raise CredentialConflict(n=before.n)
    uow.contracts.add_credential(
        SealedCredential(
            contract=contract.id,
            n=sealed.number,
            gen=sealed.generation,
            outer=outer,
            agent=caller.kid,
            created_at_ms=now_ms,
        )
    )

"""The pairing relay: two sealed messages under one code, of which the platform can read neither."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app.accounts import Chain, stored_chain
from decent_cloud.app.caller import Caller, require_writer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.providers import own_pool
from decent_cloud.domain.identity.providers import Pairing
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.errors import Conflict, Invalid, NotFound
from decent_cloud.wire.v1.providers import JoinPairing, OpenPairing

MAX_MESSAGE_CHARACTERS = 128 * 1024


class PairingTaken(Conflict):
    """This pairing belongs to another account; make a new code."""

    code = "pairing_taken"


class PairingJoined(Conflict):
    """A device answered under this code already; make a new code if it was not yours."""

    code = "pairing_joined"


def open_pairing(
    uow: UnitOfWork, caller: Caller, rid: str, command: OpenPairing, now_ms: int
) -> Pairing:
    """Open the relay for a code, or open it again: that drops the other side's message.

    Errors: PairingTaken, Invalid for a pool that is not the caller's.
    """
    account = require_writer(caller)
    _check_size(command.message)
    if command.pool:
        own_pool(uow, account, command.pool)
    found = uow.providers.pairing(rid)
    if found is not None and found.account != account:
        raise PairingTaken
    pairing = Pairing(
        rid=rid,
        account=account,
        pool=command.pool,
        old_message=command.message,
        new_message="",
        expires_at_ms=now_ms + command.ttl_s * SECOND_MS,
        version=found.version if found is not None else 1,
    )
    uow.providers.put_pairing(pairing)
    return pairing


def read_pairing(uow: UnitOfWork, rid: str, now_ms: int) -> Pairing:
    """Return what the relay holds for whoever knows the code.

    Errors: NotFound, also once it has run out.
    """
    found = uow.providers.pairing(rid)
    if found is None or found.expires_at_ms <= now_ms:
        raise NotFound("no such pairing is open; the code is wrong or has run out")
    return found


def join_pairing(uow: UnitOfWork, rid: str, command: JoinPairing, now_ms: int) -> Pairing:
    """Leave the new device's message; the first one stands until the code is opened again.

    Errors: NotFound, PairingJoined.
    """
    _check_size(command.message)
    found = read_pairing(uow, rid, now_ms)
    if found.new_message == command.message:
        return found
    if found.new_message:
        raise PairingJoined
    joined = replace(found, new_message=command.message)
    uow.providers.put_pairing(joined)
    return joined


def pairing_chain(uow: UnitOfWork, rid: str, now_ms: int) -> Chain:
    """Return the opener's chain, which the new device checks against the sealed message.

    Errors: NotFound.
    """
    return stored_chain(uow, read_pairing(uow, rid, now_ms).account)


def _check_size(message: str) -> None:
    if not 0 < len(message) <= MAX_MESSAGE_CHARACTERS:
        raise Invalid(f"a message has 1 to {MAX_MESSAGE_CHARACTERS} characters", field="message")

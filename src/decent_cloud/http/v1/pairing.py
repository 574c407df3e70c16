"""The pairing relay: two sealed messages under one code."""

from __future__ import annotations

import re

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from decent_cloud.app import pairing
from decent_cloud.domain.identity.providers import Pairing
from decent_cloud.http.call import Call
from decent_cloud.http.v1.accounts import chain_view
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.errors import Invalid
from decent_cloud.wire.v1.accounts import ChainView
from decent_cloud.wire.v1.providers import JoinPairing, OpenPairing, PairingView

_RID = re.compile(r"[0-9a-f]{32}")


@put("/pair/{rid:str}/old", summary="Open a pairing")
async def open_pairing(
    call: NamedDependency[Call], rid: FromPath[str], data: JSONBody[OpenPairing]
) -> Response[PairingView]:
    """Leave the trusted device's sealed message under the code's `rid`; opening again drops the answer."""
    _check_rid(rid)
    return await call.write(
        lambda uow: pairing_view(pairing.open_pairing(uow, call.caller, rid, data, call.now_ms))
    )


@get("/pair/{rid:str}", summary="A pairing")
async def read_pairing(call: NamedDependency[Call], rid: FromPath[str]) -> PairingView:
    """Return both sealed messages to whoever knows the code."""
    _check_rid(rid)
    return pairing_view(await call.read(lambda uow: pairing.read_pairing(uow, rid, call.now_ms)))


@put("/pair/{rid:str}/new", summary="Answer a pairing")
async def join_pairing(
    call: NamedDependency[Call], rid: FromPath[str], data: JSONBody[JoinPairing]
) -> Response[PairingView]:
    """Leave the new device's sealed message; the first one stands."""
    _check_rid(rid)
    return await call.write(
        lambda uow: pairing_view(pairing.join_pairing(uow, rid, data, call.now_ms))
    )


@get("/pair/{rid:str}/chain", summary="The opener's chain")
async def read_pairing_chain(call: NamedDependency[Call], rid: FromPath[str]) -> ChainView:
    """Return the chain that the new device checks against the sealed message."""
    _check_rid(rid)
    return chain_view(await call.read(lambda uow: pairing.pairing_chain(uow, rid, call.now_ms)))


def pairing_view(found: Pairing) -> PairingView:
    """Render what the relay holds."""
    return PairingView(
        rid=found.rid,
        old_message=found.old_message,
        new_message=found.new_message,
        pool=found.pool,
        expires_at=rfc3339(found.expires_at_ms),
    )


def _check_rid(rid: str) -> None:
    if not _RID.fullmatch(rid):
        raise Invalid("a pairing's name has 32 lower-case hex digits", field="rid")


ROUTES = (open_pairing, read_pairing, join_pairing, read_pairing_chain)

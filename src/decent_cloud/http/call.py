"""One request on its way: who calls, what was sent, and the two ways to the database."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeVar, cast

from litestar import Response
from litestar.types import Scope

from decent_cloud.app.caller import PUBLIC, Caller, CallerKind
from decent_cloud.app.ports.requests import StoredAnswer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.http.edge import Edge
from decent_cloud.http.refusals import IdempotencyMismatch
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.errors import DecentError, Kind

T = TypeVar("T")
_SCOPE_KEY = "decent_call"
_JSON = "application/json"
_ELSEWHERE = ""  # body of a stored answer that must not be kept: it is read again


class Call:
    """What a handler needs to know of its request. `raw` is the body as signed; `client` is for limits, never logged.

    A plain class on purpose: of a dataclass the framework would check every field on each request.
    """

    __slots__ = (
        "caller", "client", "edge", "headers", "idempotency_key", "method", "now_ms", "problem", "raw",
        "request_id", "target",
    )  # fmt: skip

    def __init__(self, edge: Edge, request_id: str, client: str, method: str, target: str) -> None:
        self.edge = edge
        self.request_id = request_id
        self.now_ms = edge.clock.now_ms()
        self.client = client
        self.method = method
        self.target = target
        self.caller: Caller = PUBLIC
        self.idempotency_key = ""
        self.raw = b""
        self.headers: list[tuple[bytes, bytes]] = []  # to add to the answer
        self.problem = ""  # code of the failure it ended with, for the log

    def new_id(self, prefix: str) -> str:
        """Mint an id, before the unit of work so that the unit may run twice."""
        return self.edge.ids.new(prefix, self.now_ms)

    async def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn` on one consistent snapshot."""
        return await self.edge.db.read(fn)

    async def write(
        self,
        fn: Callable[[UnitOfWork], T],
        *,
        status: int = 200,
        reread: Callable[[UnitOfWork], T] | None = None,
    ) -> Response[T]:
        """Run `fn` and store its answer under the idempotency key, in one transaction.

        The same key and request again get the same answer and run nothing. With `reread` the body is not kept
        (it holds personal fields): a repeated request gets the present state instead.
        Errors: IdempotencyMismatch for the same key with another request; a failed request stores nothing.
        """

        def unit(uow: UnitOfWork) -> tuple[int, bytes]:
            known = uow.requests.answer(self._owner, self.idempotency_key)
            if known is not None:
                return self._again(uow, known, reread)
            body = to_json(fn(uow))
            kept = _ELSEWHERE if reread is not None else body.decode()
            uow.requests.store_answer(
                StoredAnswer(
                    self._owner, self.idempotency_key, self._hash, status, kept, self.now_ms
                )
            )
            return status, body

        try:
            answer = await self.edge.db.write(unit)
        except DecentError as error:
            repeated = await self._lost_race(error, reread)
            if repeated is None:
                raise
            answer = repeated
        return cast("Response[T]", Response(answer[1], status_code=answer[0], media_type=_JSON))

    async def _lost_race(
        self, error: DecentError, reread: Callable[[UnitOfWork], T] | None
    ) -> tuple[int, bytes] | None:
        """Two copies of one request ran at once: give the loser the winner's answer."""
        if error.kind is not Kind.CONFLICT or isinstance(error, IdempotencyMismatch):
            return None

        def look(uow: UnitOfWork) -> tuple[int, bytes] | None:
            known = uow.requests.answer(self._owner, self.idempotency_key)
            return None if known is None else self._again(uow, known, reread)

        return await self.edge.db.read(look)

    def _again(
        self,
        uow: UnitOfWork,
        known: StoredAnswer,
        reread: Callable[[UnitOfWork], T] | None,
    ) -> tuple[int, bytes]:
        if known.request_hash != self._hash:
            raise IdempotencyMismatch
        self.headers = [(b"idempotency-replayed", b"true")]
        if reread is not None:
            return known.status, to_json(reread(uow))
        return known.status, known.body.encode()

    @property
    def identity(self) -> str:
        """Whose limits count: an account's devices share theirs, each agent has its own."""
        caller = self.caller
        return (
            f"{caller.account}.{caller.kid}" if caller.kind is CallerKind.AGENT else caller.account
        )

    @property
    def _owner(self) -> str:
        """Whose key space this is; an account's devices share one, so that a retry may come from another."""
        return "public" if self.caller.kind is CallerKind.PUBLIC else str(self.caller.account)

    @property
    def _hash(self) -> str:
        # Keyed: a body may hold personal fields that are easy to guess.
        text = b"\n".join((self.method.encode(), self.target.encode(), self.raw))
        return hmac.digest(self.edge.hash_key, text, "sha256").hex()


def keep(scope: Scope, call: Call) -> None:
    """Attach the call to its connection."""
    cast("dict[str, object]", scope)[_SCOPE_KEY] = call


def call_of(scope: Scope) -> Call:
    """Return the call of this connection."""
    return cast("Call", cast("dict[str, object]", scope)[_SCOPE_KEY])

"""The way in, as one ASGI middleware: request id, limits, body, signature, caller; and the way out: log and meters."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from email.utils import formatdate

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from decent_cloud.app.accounts import find_signer
from decent_cloud.app.caller import PUBLIC
from decent_cloud.http.addresses import bucket_of, client_of
from decent_cloud.http.body import ClientGone, check_json, read_body, replayed
from decent_cloud.http.call import Call, keep
from decent_cloud.http.edge import Edge
from decent_cloud.http.errors import Failure, failure_of
from decent_cloud.http.limits import Allowance
from decent_cloud.http.permissions import WRITES
from decent_cloud.http.refusals import IdempotencyKeyNeeded, Replayed
from decent_cloud.http.signatures import SignedMessage, claimed_key, is_signed, verify
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import Invalid

_log = structlog.get_logger("decent_cloud.http.access")

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ASKED_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_ID = re.compile(r"[a-z0-9]{1,64}")
_STREAM = b"text/event-stream"


class Gate:
    """Wraps the application: no request reaches a handler before its caller is known."""

    def __init__(self, app: ASGIApp, edge: Edge) -> None:
        self._app = app
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send, _request_id(scope), self._edge.clock)
        try:
            await self._enter(scope, receive, answer)
        except ClientGone:
            answer.status = 499
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened becomes an answer
            await self._fail(error, answer)
        finally:
            self._record(scope, answer)

    async def _enter(self, scope: HTTPScope, receive: Receive, answer: _Answer) -> None:
        headers = _headers(scope)
        client = client_of(scope, self._edge.proxies)
        call = Call(self._edge, answer.request_id, client, scope["method"], _target(scope))
        answer.call = call
        keep(scope, call)
        signed = is_signed(headers)
        self._spend(answer, signed=signed)
        call.raw = await read_body(scope, receive, self._edge.limits.body_bytes)
        if signed:
            await self._identify(call, headers)
            answer.allowance = self._edge.limits.identity.take(call.identity)
            answer.allowance.check()
        call.idempotency_key = _idempotency_key(headers)
        if call.raw:
            _check_content(headers, call.raw)
        await self._app(scope, replayed(call.raw, receive), answer.send)

    def _spend(self, answer: _Answer, *, signed: bool) -> None:
        call, limits = answer.call, self._edge.limits
        if call is None:
            return
        who = bucket_of(call.client)
        answer.allowance = limits.address.take(who)
        answer.allowance.check()
        if not signed and call.method in WRITES:
            answer.allowance = limits.joining.take(who)
            answer.allowance.check()

    async def _identify(self, call: Call, headers: Mapping[str, str]) -> None:
        """Verify the signature, then burn its nonce if this is a write, then say who calls."""
        keyid = claimed_key(headers)
        signer = await call.read(lambda uow: find_signer(uow, keyid.account, keyid.kid))
        message = SignedMessage(call.method, call.target, headers, call.raw)
        proof = verify(
            message,
            keyid,
            bytes.fromhex(signer.sig_hex),
            origins=self._edge.origins.known,
            now_ms=call.now_ms,
        )
        if call.method in WRITES:
            fresh = await self._edge.db.write(
                lambda uow: uow.requests.use_nonce(str(keyid), proof.nonce, proof.nonce_expires_ms)
            )
            if not fresh:
                raise Replayed
        call.caller = signer.caller

    async def _fail(self, error: Exception, answer: _Answer) -> None:
        failure = failure_of(error, answer.request_id)
        if failure.status >= 500:
            _log.exception("request failed", request_id=answer.request_id, exc_info=error)
        if not answer.started:
            await answer.refuse(failure)

    def _record(self, scope: HTTPScope, answer: _Answer) -> None:
        took_s = time.monotonic() - answer.began_s
        route = scope.get("path_template") or "none"
        if not answer.is_stream:
            self._edge.metrics.observe(scope["method"], route, answer.status, took_s)
        call = answer.call
        caller = call.caller if call else PUBLIC
        _log.info(
            "request",
            request_id=answer.request_id,
            method=scope["method"],
            route=route,
            ids=_ids(scope),
            status=answer.status,
            code=answer.code or (call.problem if call else ""),
            took_ms=round(took_s * 1_000, 1),
            caller=caller.kind.value,
            account=str(caller.account),
            kid=str(caller.kid),
        )


class _Answer:
    """The answer on its way out: gets the request id and limits, and is remembered for the log."""

    def __init__(self, scope: HTTPScope, send: Send, request_id: str, clock: Clock) -> None:
        self.request_id = request_id
        self._clock = clock
        self.began_s = time.monotonic()
        self.status = 0
        self.code = ""
        self.started = False
        self.is_stream = False
        self.call: Call | None = None
        self.allowance: Allowance | None = None
        self._send = send
        self._is_head = scope["method"] == "HEAD"

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = list(message["headers"])
            self.is_stream = any(k == b"content-type" and v == _STREAM for k, v in headers)
            headers.append(
                (b"date", formatdate(self._clock.now_ms() // 1_000, usegmt=True).encode())
            )
            headers.append((b"x-request-id", self.request_id.encode()))
            headers.append((b"x-content-type-options", b"nosniff"))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            if self.allowance is not None:
                headers += self.allowance.headers()
            if self.call is not None:
                headers += self.call.headers
            message["headers"] = headers
        await self._send(message)

    async def refuse(self, failure: Failure) -> None:
        self.code = failure.code
        headers = [(k.encode(), v.encode()) for k, v in failure.headers]
        headers.append((b"content-length", str(len(failure.body)).encode()))
        await self.send(
            {"type": "http.response.start", "status": failure.status, "headers": headers}
        )
        body = b"" if self._is_head else failure.body
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def _headers(scope: HTTPScope) -> dict[str, str]:
    """Join repeated lines as signatures and lists need it."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _target(scope: HTTPScope) -> str:
    """Return path and query as they were sent, never decoded."""
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _idempotency_key(headers: Mapping[str, str]) -> str:
    key = headers.get("idempotency-key", "")
    if key and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise IdempotencyKeyNeeded
    return key


def _check_content(headers: Mapping[str, str], raw: bytes) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Invalid("send the body as application/json")
    check_json(raw)


def _request_id(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ASKED_ID.fullmatch(value.decode("latin-1")):
            return value.decode("latin-1")
    return secrets.token_hex(12)


def _ids(scope: HTTPScope) -> dict[str, str]:
    """Return what the path names, if it looks like an id: a path may hold anything."""
    named = scope.get("path_params", {}).items()
    return {name: str(value) if _ID.fullmatch(str(value)) else "?" for name, value in named}

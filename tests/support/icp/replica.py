"""One replica: takes signed envelopes over HTTP, runs each request once, certifies what became of it."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import cbor2
import httpx
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from decent_cloud.domain.payments.icrc1_accounts import parse_principal
from tests.support.icp.authority import Authority, tagged
from tests.support.icp.clock import HandClock
from tests.support.icp.trees import Path, number
from tests.support.loopback import Asked, Reply

LONGEST_MS = 5 * 60_000
DRIFT_MS = 60_000
KEPT_MS = 5 * 60_000
_DER = bytes.fromhex("302a300506032b6570032100")
_ROUTE = re.compile(r"/api/v(\d)/canister/([a-z0-9-]+)/(call|read_state)")


class Rejection(Exception):
    """A canister or the system refuses to run a call, or it trapped."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Canister(Protocol):
    """A program on the replica."""

    def update(self, caller: bytes, method: str, argument: bytes, at_ns: int) -> bytes:
        """Run a method and return its Candid reply; raises Rejection."""
        ...


class Fault(StrEnum):
    """What goes wrong with one call."""

    NONE = "none"
    LOST_BEFORE = "cut before it is taken"
    LOST_AFTER = "cut after it ran"
    ACCEPTED = "202, then read_state tells"
    DELAYED = "202, runs a minute later"
    ERROR_BEFORE = "503 before it is taken"
    ERROR_AFTER = "502 after it ran"
    LIE = "a certificate with another reply"
    WRONG_ROOT = "a certificate under another root"
    STALE = "a certificate of an hour ago"
    REJECTED_BEFORE = "a certified reject, nothing ran"
    REJECTED_AFTER = "ran, then trapped: a certified reject"
    ONE_NODE = "one node's reject"


# The call runs, or may still run, though its answer does not say so.
RAN_UNSEEN = {Fault.LOST_AFTER, Fault.ERROR_AFTER, Fault.REJECTED_AFTER, Fault.DELAYED}


@dataclass
class Request:
    """What the replica keeps of a request until it forgets it."""

    canister: bytes
    sender: bytes
    method: str
    argument: bytes
    expires_ms: int
    runs_at_ms: int
    trap_after: bool = False
    reject_first: bool = False
    status: dict[bytes, bytes] = field(default_factory=dict)


@dataclass
class Replica:
    """Its state is the requests and the canisters. `faults` is asked for each call; `dark` read_states go unanswered."""

    clock: HandClock
    authority: Authority = field(default_factory=Authority)
    canisters: dict[bytes, Canister] = field(default_factory=dict)
    faults: Callable[[str], Fault] = lambda _method: Fault.NONE
    dark: int = 0
    latency_ms: int = 100
    requests: dict[bytes, Request] = field(default_factory=dict)
    seen: list[tuple[str, bytes]] = field(default_factory=list)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Reply:
        """Answer one HTTP request."""
        with self._one_at_a_time:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Reply:
        self.clock.forward_ms(self.latency_ms)
        self.run_due()
        route = _ROUTE.fullmatch(asked.target)
        if not route or asked.method != "POST":
            return Reply(404, b"no such route")
        version, canister, verb = int(route[1]), parse_principal(route[2]), route[3]
        if (verb, version) not in {("call", 4), ("read_state", 3)}:
            return Reply(404, b"no such version")
        try:
            content, request_id = self._opened(asked)
        except Refusal as refusal:
            return Reply(400, str(refusal).encode())
        if verb == "read_state":
            return self._read_state(content)
        if content["canister_id"] != canister:
            return Reply(400, b"canister differs from the path")
        return self._call(content, request_id)

    def _call(self, content: Mapping[str, Any], request_id: bytes) -> Reply:
        self.seen.append((content["method_name"], request_id))
        fault = self.faults(content["method_name"])
        if fault is Fault.LOST_BEFORE:
            return Reply(cut=True)
        if fault is Fault.ERROR_BEFORE:
            return Reply(503, b"try later")
        if fault is Fault.ONE_NODE:
            return _ok(
                {"status": "non_replicated_rejection", "reject_code": 2, "reject_message": "busy"}
            )
        if request_id not in self.requests:
            self.requests[request_id] = self._taken(content, fault)
        self.run_due()
        match fault:
            case Fault.LOST_AFTER:
                return Reply(cut=True)
            case Fault.ERROR_AFTER:
                return Reply(502, b"bad gateway")
            case Fault.ACCEPTED | Fault.DELAYED:
                return Reply(202, b"")
        if not self.requests[request_id].status:
            return Reply(202, b"")
        return _ok({"status": "replied", "certificate": self._certified(request_id, fault)})

    def _taken(self, content: Mapping[str, Any], fault: Fault) -> Request:
        delay_ms = 60_000 if fault is Fault.DELAYED else 0
        return Request(
            content["canister_id"],
            content["sender"],
            content["method_name"],
            content["arg"],
            content["ingress_expiry"] // 1_000_000,
            self.clock.at_ms + delay_ms,
            trap_after=fault is Fault.REJECTED_AFTER,
            reject_first=fault is Fault.REJECTED_BEFORE,
        )

    def run_due(self) -> None:
        """Run what waits, each request once and as of its own time; forget old ones."""
        for request_id, request in list(self.requests.items()):
            if self.clock.at_ms > request.expires_ms + KEPT_MS and request.status:
                del self.requests[request_id]
            elif not request.status and request.runs_at_ms <= self.clock.at_ms:
                request.status = self._run(request)

    def _run(self, request: Request) -> dict[bytes, bytes]:
        try:
            if request.reject_first:
                raise Rejection(2, "the subnet is busy")
            canister = self.canisters.get(request.canister)
            if canister is None:
                raise Rejection(3, "no such canister")
            reply = canister.update(
                request.sender, request.method, request.argument, request.runs_at_ms * 1_000_000
            )
            if request.trap_after:
                raise Rejection(5, "trapped while archiving")
        except Rejection as rejection:
            return {
                b"status": b"rejected",
                b"reject_code": number(rejection.code),
                b"reject_message": rejection.message.encode(),
            }
        return {b"status": b"replied", b"reply": reply}

    def _read_state(self, content: Mapping[str, Any]) -> Reply:
        if self.dark:
            self.dark -= 1
            return Reply(503, b"try later")
        ((label, request_id),) = content["paths"]
        if label != b"request_status":
            return Reply(400, b"another path")
        known = self.requests.get(request_id)
        if known and known.sender != content["sender"]:
            return Reply(403, b"another's request")
        return _ok({"certificate": self._certified(request_id, Fault.NONE)})

    def _certified(self, request_id: bytes, fault: Fault) -> bytes:
        known = self.requests.get(request_id)
        status = (known.status or {b"status": b"processing"}) if known else {}
        states: dict[bytes, Any] = {b"another": {b"status": b"processing"}}
        if status:
            states[request_id] = dict(status)
        path: Path = (b"request_status", request_id)
        at_ns = self.clock.now_ns
        if fault is Fault.STALE:
            at_ns -= 3_600_000_000_000
        authority = Authority("a stranger's") if fault is Fault.WRONG_ROOT else self.authority
        if fault is Fault.LIE and b"reply" in status:
            honest = authority.certificate({b"request_status": states}, [path], at_ns)
            return honest.replace(status[b"reply"], _changed(status[b"reply"]))
        return authority.certificate({b"request_status": states}, [path], at_ns)

    def _opened(self, asked: Asked) -> tuple[Mapping[str, Any], bytes]:
        """Check an envelope as a node does."""
        if asked.headers.get("content-type") != "application/cbor":
            raise Refusal("not CBOR")
        if not asked.body.startswith(b"\xd9\xd9\xf7"):
            raise Refusal("not self-described")
        envelope = cbor2.loads(asked.body)
        content, key = envelope["content"], envelope["sender_pubkey"]
        if content["sender"] != hashlib.sha224(key).digest() + b"\x02":
            raise Refusal("the key is not the sender's")
        request_id = request_id_of(content)
        try:
            VerifyKey(key.removeprefix(_DER)).verify(
                b"\x0aic-request" + request_id, envelope["sender_sig"]
            )
        except BadSignatureError:
            raise Refusal("the signature does not verify") from None
        expires_ms = content["ingress_expiry"] // 1_000_000
        if not self.clock.at_ms <= expires_ms <= self.clock.at_ms + LONGEST_MS + DRIFT_MS:
            raise Refusal("expired, or expires too late")
        return content, request_id


class Refusal(Exception):
    """A node does not take an envelope."""


class ReplicaTransport(httpx.BaseTransport):
    """The same HTTP without a socket, for runs by the thousand."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.url.path, headers, request.read())
        reply = self._replica.answer(asked)
        if reply.cut:
            raise httpx.ReadError("cut", request=request)
        return httpx.Response(reply.status, content=reply.body)


def request_id_of(content: Mapping[str, Any]) -> bytes:
    """Compute a request's id by the specification."""
    pairs = [_sha(name.encode()) + _hash(value) for name, value in content.items()]
    return _sha(b"".join(sorted(pairs)))


def _hash(value: Any) -> bytes:
    if isinstance(value, str):
        return _sha(value.encode())
    if isinstance(value, int):
        return _sha(number(value))
    if isinstance(value, bytes):
        return _sha(value)
    return _sha(b"".join(_hash(item) for item in value))


def _sha(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _changed(reply: bytes) -> bytes:
    return reply[:-1] + bytes([reply[-1] ^ 1])


def _ok(fields: dict[str, Any]) -> Reply:
    return Reply(200, tagged(fields), {"content-type": "application/cbor"})

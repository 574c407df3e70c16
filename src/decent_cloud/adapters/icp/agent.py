"""The agent: sends prepared calls, asks what became of them, and believes certified answers only."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from decent_cloud.adapters.icp import cbor
from decent_cloud.adapters.icp.answers import (
    Answer,
    Lost,
    Rejected,
    Replied,
    Unverifiable,
    certified_answer,
)
from decent_cloud.adapters.icp.certificates import Verifier
from decent_cloud.adapters.icp.envelopes import PreparedCall, prepare_call, prepare_read_state
from decent_cloud.adapters.icp.errors import (
    CallRejected,
    CertificateRefused,
    NetworkSilent,
    ReplyUnreadable,
)
from decent_cloud.adapters.icp.signer import Signer
from decent_cloud.domain.payments.icrc1_accounts import principal_text
from decent_cloud.kernel.clock import Clock

_MAX_ANSWER_BYTES = 4 << 20
_FEW_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: for one HTTP answer, between two looks, and how many looks before an answer is lost."""

    timeout_s: int = 30
    pause_ms: int = 1_000
    looks: int = 20


class IcAgent:
    """One signer's way to the Internet Computer; plain and blocking, for use in a thread."""

    def __init__(
        self,
        origin: str,
        http: httpx.Client,
        signer: Signer,
        clock: Clock,
        verifier: Verifier,
        patience: Patience | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the boundary's origin, such as `https://icp-api.io`, and an open HTTP client."""
        self._origin = origin.rstrip("/")
        self._http = http
        self._signer = signer
        self._clock = clock
        self._verifier = verifier
        self._patience = patience or Patience()
        self._pause = pause

    @property
    def principal(self) -> bytes:
        """Return who calls."""
        return self._signer.principal

    def prepare(
        self, canister: bytes, method: str, argument: bytes, *, now_ms: int, nonce: bytes
    ) -> PreparedCall:
        """Sign a call without sending it: store it first, then `submit` it, again and again if need be."""
        return prepare_call(self._signer, canister, method, argument, now_ms=now_ms, nonce=nonce)

    def submit(self, call: PreparedCall) -> Answer:
        """Send a prepared call and return what became of it; never raises for what the network does.

        The same call may be submitted again after a crash or a lost answer: it runs once.
        """
        answer = self._post_call(call)
        if isinstance(answer, Replied) or (isinstance(answer, Rejected) and answer.certified):
            return answer
        # A node that refuses a call seldom passes it on: a few looks are enough to catch one that did.
        looks = _FEW_LOOKS if isinstance(answer, Rejected) else self._patience.looks
        return self._look(call, looks) or answer

    def read(self, canister: bytes, method: str, argument: bytes) -> Replied:
        """Ask a canister by an update call, so that the answer is certified.

        Errors: NetworkSilent, CertificateRefused, CallRejected; each may work later.
        """
        nonce = secrets.token_bytes(16)
        now_ms = self._clock.now_ms()
        answer = self.submit(self.prepare(canister, method, argument, now_ms=now_ms, nonce=nonce))
        match answer:
            case Replied():
                return answer
            case Rejected(code, message):
                raise CallRejected(f"{method} was rejected: {message}", reject_code=code)
            case Unverifiable(reason):
                raise CertificateRefused(reason)
            case Lost(reason):
                raise NetworkSilent(f"no answer to {method}: {reason}")

    def _post_call(self, call: PreparedCall) -> Answer:
        path = f"/api/v4/canister/{principal_text(call.canister)}/call"
        try:
            status, body = self._post(path, call.envelope)
            if status != httpx.codes.OK:
                return Lost(f"status {status}")
            fields = cbor.decode_map(body)
            if fields.get("status") == "non_replicated_rejection":
                return _one_nodes_word(fields)
            return self._certified(call, fields) or Lost("not finished yet")
        except (CertificateRefused, ReplyUnreadable) as error:
            return Unverifiable(error.message)
        except httpx.HTTPError as error:
            return Lost(type(error).__name__)

    def _look(self, call: PreparedCall, looks: int) -> Answer | None:
        """Ask for the request's status until it is final; None if there is nothing to be learnt."""
        path = f"/api/v3/canister/{principal_text(call.canister)}/read_state"
        refused: Answer | None = None
        for look in range(min(looks, self._patience.looks)):
            if look:
                self._pause(self._patience.pause_ms / 1_000)
            question = prepare_read_state(self._signer, call.request_id, self._clock.now_ms())
            try:
                status, body = self._post(path, question)
                if status == httpx.codes.OK:
                    found = self._certified(call, cbor.decode_map(body))
                    if found:
                        return found
            except (CertificateRefused, ReplyUnreadable) as error:
                refused = Unverifiable(error.message)
            except httpx.HTTPError:
                continue
        return refused

    def _certified(self, call: PreparedCall, fields: Mapping[Any, Any]) -> Answer | None:
        raw = cbor.blob(fields.get("certificate"))
        certificate = self._verifier.verify(raw, call.canister, self._clock.now_ms())
        return certified_answer(certificate, call)

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post CBOR and return status and body; a body that never ends is an error like any other."""
        headers = {"content-type": "application/cbor"}
        with self._http.stream(
            "POST",
            self._origin + path,
            content=body,
            headers=headers,
            timeout=self._patience.timeout_s,
            follow_redirects=False,
        ) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > _MAX_ANSWER_BYTES:
                    raise ReplyUnreadable("an answer is too large")
                parts.append(part)
            return response.status_code, b"".join(parts)


def _one_nodes_word(fields: Mapping[Any, Any]) -> Rejected:
    code = fields.get("reject_code")
    message = str(fields.get("reject_message", ""))[:500]
    return Rejected(code if isinstance(code, int) else 0, message, certified=False)

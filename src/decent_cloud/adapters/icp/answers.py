"""What a call came to: a certified reply or reject, or no certain answer at all."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.adapters.icp import leb128
from decent_cloud.adapters.icp.certificates import Certificate
from decent_cloud.adapters.icp.envelopes import PreparedCall
from decent_cloud.kernel.clock import MINUTE_MS

# A subnet takes no request that expires later than this from its own time: five minutes and a drift of one.
_LONGEST_NS = 6 * MINUTE_MS * 1_000_000


@dataclass(frozen=True, slots=True)
class Replied:
    """The canister's certified reply; it answered at `not_before_ns` or later, by the subnet's time."""

    reply: bytes
    not_before_ns: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call was rejected; `certified` is False for one node's word. Neither proves that nothing happened."""

    code: int
    message: str
    certified: bool


@dataclass(frozen=True, slots=True)
class Unverifiable:
    """An answer came whose certificate does not verify."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came; the call may have run, may still run, or not."""

    reason: str


Answer = Replied | Rejected | Unverifiable | Lost


def certified_answer(certificate: Certificate, call: PreparedCall) -> Replied | Rejected | None:
    """Return what a certificate says about a call; None while it says nothing final.

    The certificate may be much younger than the answer in it, so its time says little about when the canister
    answered; that the subnet took the request at all says more.

    `done` means that the reply is forgotten already: as good as no answer.
    """
    status = certificate.tree.under(b"request_status", call.request_id)
    if status is None:
        return None
    not_before_ns = min(certificate.at_ns, call.expires_at_ns - _LONGEST_NS)
    match status.leaf(b"status"):
        case b"replied":
            reply = status.leaf(b"reply")
            return None if reply is None else Replied(reply, not_before_ns)
        case b"rejected":
            code = leb128.decode(status.leaf(b"reject_code") or b"\x00")
            message = (status.leaf(b"reject_message") or b"").decode(errors="replace")
            return Rejected(code, message[:500], certified=True)
    return None

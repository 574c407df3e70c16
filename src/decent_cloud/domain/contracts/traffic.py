"""What a contract's machine received and sent, summed up over counters that begin anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.kernel.ids import ContractId

MOST = 2**52  # bytes; more is no count but a mistake, and sums must stay exact in JSON


@dataclass(frozen=True, slots=True)
class Traffic:
    """All since `first_ms`. `run_*` is the counter as it was last read, of the span that began at `run_ms`;
    `before_*` is the sum of the spans before.
    """

    contract: ContractId
    first_ms: int
    before_received_bytes: int
    before_sent_bytes: int
    run_ms: int
    run_received_bytes: int
    run_sent_bytes: int
    at_ms: int

    @property
    def received_bytes(self) -> int:
        return self.before_received_bytes + self.run_received_bytes

    @property
    def sent_bytes(self) -> int:
        return self.before_sent_bytes + self.run_sent_bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """A backend's counters, which began at `since_ms`; both in bytes."""

    received_bytes: int
    sent_bytes: int
    since_ms: int


def count(before: Traffic | None, contract: ContractId, seen: Reading, now_ms: int) -> Traffic:
    """Add a reading. Counters that began anew, by their word or by having fallen, count on top.

    A reading of a span that began earlier than the one on record is old and changes nothing.
    """
    since_ms = min(seen.since_ms, now_ms)
    if before is None:
        received, sent = seen.received_bytes, seen.sent_bytes
        return Traffic(contract, since_ms, 0, 0, since_ms, received, sent, now_ms)
    if since_ms < before.run_ms:
        return before
    fallen = (
        seen.received_bytes < before.run_received_bytes or seen.sent_bytes < before.run_sent_bytes
    )
    base = before
    if since_ms > before.run_ms or fallen:
        base = replace(
            before,
            before_received_bytes=min(before.received_bytes, MOST),
            before_sent_bytes=min(before.sent_bytes, MOST),
            run_ms=since_ms,
        )
    return replace(
        base,
        run_received_bytes=seen.received_bytes,
        run_sent_bytes=seen.sent_bytes,
        at_ms=now_ms,
    )

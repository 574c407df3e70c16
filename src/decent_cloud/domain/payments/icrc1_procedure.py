"""How an ICRC-1 transfer is brought to its end so that a crash at any point pays once: what to do next, as data."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.payments.icrc1_transfer import (
    MS_NS,
    PAID,
    REFUSALS,
    UNANSWERED,
    Attempt,
    Sending,
)
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS, SECOND_MS

# Ledgers forget after 24 hours: nothing is sent near that edge, and nothing is given up before it is well past.
SENDING_MS = 20 * HOUR_MS
HORIZON_MS = 24 * HOUR_MS + 5 * MINUTE_MS
# A log that is as long as before, this much later, past the horizon: nothing of ours can come any more.
STABLE_MS = 5 * MINUTE_MS
RESCAN_MS = 6 * MINUTE_MS
EARLY_RESCAN_MS = 10 * MINUTE_MS
# Stop sending an envelope again shortly before it expires; look at the log only when a look can be certain
# to come after its expiry: an answer's time is known to two minutes.
EXPIRY_MARGIN_MS = 10 * SECOND_MS
EXPIRED_MARGIN_MS = 3 * MINUTE_MS
FIRST_AGAIN_MS = 2 * SECOND_MS
LONGEST_AGAIN_MS = 30 * SECOND_MS
FIRST_BACKOFF_MS = 10 * SECOND_MS
LONGEST_BACKOFF_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class SendNew:
    """Put the stored argument bytes into a new envelope, store it as this attempt, commit, send."""

    number: int


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Count the sending, commit, and send this attempt's stored envelope again, byte for byte."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ScanLog:
    """Read the log by certified calls from this block to its end; store the scan."""

    from_block: int
    reconciling: bool


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Do nothing before this instant."""

    at_ms: int
    reconciling: bool


@dataclass(frozen=True, slots=True)
class Paid:
    """The money left, in this block. Read the block and compare it before the books are closed."""

    block: int


@dataclass(frozen=True, slots=True)
class NotPaid:
    """The money did not leave and cannot leave any more; a new payout may be planned."""

    reason: str


Step = SendNew | SendAgain | ScanLog | WaitUntil | Paid | NotPaid


def next_step(sending: Sending, now_ms: int) -> Step:
    """Decide what to do with a transfer, from what is stored of it alone.

    Source: the ledgers' measured semantics; every error on a retry is ambiguous, Duplicate is proof of payment.
    """
    block = _paid_in(sending)
    if block is not None:
        return Paid(block)
    if not sending.attempts:
        return SendNew(1) if _may_send(sending, now_ms) else NotPaid("never sent in its time")
    if refused := _refused_at_once(sending):
        return NotPaid(refused)
    if is_reconciling(sending, now_ms):
        return _reconcile(sending, now_ms)
    return _retry(sending, now_ms)


def is_reconciling(sending: Sending, now_ms: int) -> bool:
    """Tell whether sending is over and only the log can say what happened."""
    if not sending.attempts or _refused_at_once(sending):
        return False
    refused = any(a.outcome and a.outcome.kind in REFUSALS for a in sending.attempts)
    return refused or not _may_send(sending, now_ms)


def scan_from(sending: Sending) -> int:
    """Return the block from which the next scan reads: where the last one ended, if blocks keep their numbers.

    A ledger that forgets on upgrade is read from the start each time: its numbers may shift.
    """
    if not sending.ledger.kind.remembers:
        return sending.first_block
    return sending.scans[-1].log_length if sending.scans else sending.first_block


def _paid_in(sending: Sending) -> int | None:
    for attempt in sending.attempts:
        if attempt.outcome and attempt.outcome.kind in PAID:
            return attempt.outcome.block
    return next((scan.found for scan in sending.scans if scan.found is not None), None)


def _refused_at_once(sending: Sending) -> str:
    """Return why the one and only request was refused: nothing else can have moved money."""
    only = sending.attempts[0].outcome if len(sending.attempts) == 1 else None
    return only.kind.value if only and only.kind in REFUSALS else ""


def _may_send(sending: Sending, now_ms: int) -> bool:
    return now_ms * MS_NS < sending.created_at_ns + SENDING_MS * MS_NS


def _retry(sending: Sending, now_ms: int) -> Step:
    last = sending.attempts[-1]
    answered = last.outcome is not None and last.outcome.kind not in UNANSWERED
    if not answered and now_ms * MS_NS < last.expires_at_ns - EXPIRY_MARGIN_MS * MS_NS:
        due_ms = last.sent_at_ms + _doubled(FIRST_AGAIN_MS, last.sends, LONGEST_AGAIN_MS)
        if not last.sends or now_ms >= due_ms:
            return SendAgain(last)
        return WaitUntil(due_ms, reconciling=False)
    if not sending.ledger.kind.remembers and (step := _look_first(sending, now_ms)):
        return step
    due_ms = last.sent_at_ms + _doubled(FIRST_BACKOFF_MS, last.number, LONGEST_BACKOFF_MS)
    if now_ms < due_ms:
        return WaitUntil(due_ms, reconciling=False)
    return SendNew(last.number + 1)


def _look_first(sending: Sending, now_ms: int) -> Step | None:
    """Demand a look at the log taken after the last envelope died: from then on nothing old can still run."""
    expired_ns = max(attempt.expires_at_ns for attempt in sending.attempts)
    if sending.scans and sending.scans[-1].as_of_ns > expired_ns:
        return None
    free_ms = expired_ns // MS_NS + EXPIRED_MARGIN_MS
    if now_ms < free_ms:
        return WaitUntil(free_ms, reconciling=False)
    return ScanLog(scan_from(sending), reconciling=False)


def _reconcile(sending: Sending, now_ms: int) -> Step:
    horizon_ns = sending.created_at_ns + HORIZON_MS * MS_NS
    if sending.scans and _nothing_can_come(sending, horizon_ns):
        return NotPaid("not in the ledger's log")
    if sending.scans:
        due_ms = _next_scan_ms(sending, horizon_ns // MS_NS)
        if now_ms < due_ms:
            return WaitUntil(due_ms, reconciling=True)
    return ScanLog(scan_from(sending), reconciling=True)


def _next_scan_ms(sending: Sending, horizon_ms: int) -> int:
    """Look seldom while the transfer may still turn up anyway, the older it is the less; then till the log is still."""
    last_ms = sending.scans[-1].taken_at_ms
    if last_ms > horizon_ms:
        return last_ms + RESCAN_MS
    age_ms = last_ms - sending.created_at_ns // MS_NS
    return min(last_ms + max(EARLY_RESCAN_MS, age_ms // 4), horizon_ms + EXPIRED_MARGIN_MS)


def _nothing_can_come(sending: Sending, horizon_ns: int) -> bool:
    last = sending.scans[-1]
    if last.newest_at_ns > horizon_ns:
        return True
    if len(sending.scans) < 2:
        return False
    before = sending.scans[-2]
    apart_ns = last.as_of_ns - before.as_of_ns
    return (
        before.as_of_ns > horizon_ns
        and before.log_length == last.log_length
        and apart_ns >= STABLE_MS * MS_NS
    )


def _doubled(first_ms: int, times: int, longest_ms: int) -> int:
    return int(min(longest_ms, first_ms << min(20, max(0, times - 1))))

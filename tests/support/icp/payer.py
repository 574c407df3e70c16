"""A worker that pays by the procedure, keeps only what it stored, and dies wherever a test wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from decent_cloud.domain.payments.icrc1_procedure import (
    NotPaid,
    Paid,
    ScanLog,
    SendAgain,
    SendNew,
    WaitUntil,
    next_step,
)
from decent_cloud.domain.payments.icrc1_transfer import Attempt, Scan, Sending, TransferTerms
from decent_cloud.kernel.errors import DecentError, Kind
from tests.support.icp.network import Network

RETRY_MS = 10 * 60_000


class Crash(BaseException):
    """The process is gone; what is stored stays."""


@dataclass
class Payer:
    """One payout. `crash` is asked at each point between two effects and raises Crash to die there."""

    net: Network
    terms: TransferTerms
    crash: Callable[[str], None]
    argument: bytes = b""
    first_block: int | None = None
    attempts: dict[int, Attempt] = field(default_factory=dict)
    scans: tuple[Scan, ...] = ()
    steps: list[str] = field(default_factory=list)

    @property
    def sending(self) -> Sending:
        """Return what a restarted process would load."""
        return Sending(
            self.net.rail.ledger,
            self.terms.created_at_ns,
            self.first_block or 0,
            tuple(self.attempts[number] for number in sorted(self.attempts)),
            self.scans[-2:],
        )

    def pay(self, most: int = 2_000) -> Paid | NotPaid:
        """Work until the end is known, restarting after each crash; a payout that never ends is a failure."""
        for _ in range(most):
            try:
                ended = self.work()
            except Crash:
                continue
            except DecentError as error:
                if error.kind is not Kind.TRY_LATER:
                    raise
                self.net.clock.forward_ms(RETRY_MS)
                continue
            if ended:
                return ended
        raise AssertionError(f"not at its end after {most} steps: {self.steps[-20:]}")

    def work(self) -> Paid | NotPaid | None:
        """Do one step; returns the end once it is reached."""
        if self.first_block is None:
            length = self.net.rail.log_length()
            self.crash("log length read")
            self.first_block, self.argument = length, self.net.rail.argument(self.terms)
        step = next_step(self.sending, self.net.clock.now_ms())
        self.steps.append(type(step).__name__)
        match step:
            case SendNew(number):
                nonce = b"%d" % number
                now_ms = self.net.clock.now_ms()
                self._send(self.net.rail.attempt(self.argument, number, nonce, now_ms))
            case SendAgain(attempt):
                self._send(attempt)
            case ScanLog(from_block):
                now_ms = self.net.clock.now_ms()
                scan = self.net.rail.scan(self.terms, from_block, now_ms)
                self.crash("scanned")
                self.scans = (*self.scans, scan)
            case WaitUntil(at_ms):
                self.net.clock.at_ms = max(at_ms, self.net.clock.at_ms + 1)
            case Paid(block):
                assert self.net.rail.find(self.terms, block), "paid, but the block is another's"
                return step
            case NotPaid():
                return step
        return None

    def _send(self, attempt: Attempt) -> None:
        self.crash("before the attempt is stored")
        now_ms = self.net.clock.now_ms()
        counted = replace(attempt, sends=attempt.sends + 1, sent_at_ms=now_ms)
        self.attempts[attempt.number] = counted
        self.crash("stored, not sent")
        outcome = self.net.rail.send(counted)
        self.crash("sent, outcome not stored")
        self.attempts[attempt.number] = replace(counted, outcome=outcome)
        self.crash("outcome stored")

"""The fake cards: what each one does, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.app.ports.processors import ChargeState


class Card(StrEnum):
    """Names a test gives instead of a card number."""

    OK = "test-ok"
    DECLINED = "test-declined"
    SLOW = "test-slow"
    NEVER = "test-never"
    SHORT = "test-short"
    DISPUTE_WON = "test-dispute-won"
    DISPUTE_LOST = "test-dispute-lost"
    REFUND_FAILS = "test-refund-fails"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long after the charge a card does what its name says."""

    settles_ms: int = 3_000
    disputed_ms: int = 3_000
    decided_ms: int = 11_000


def state_of(instrument: str, age_ms: int, pace: Pace) -> ChargeState:
    """Return what the processor says of a charge that old; an unknown card is declined."""
    if instrument == Card.SLOW:
        return ChargeState.SUCCEEDED if age_ms >= pace.settles_ms else ChargeState.PENDING
    if instrument == Card.NEVER:
        return ChargeState.PENDING
    if instrument in {Card.DISPUTE_WON, Card.DISPUTE_LOST}:
        return _disputed(instrument, age_ms, pace)
    if instrument in {Card.OK, Card.SHORT, Card.REFUND_FAILS}:
        return ChargeState.SUCCEEDED
    return ChargeState.FAILED


def received_minor(instrument: str, state: ChargeState, asked_minor: int) -> int:
    """Return what the processor really took."""
    if state in {ChargeState.PENDING, ChargeState.FAILED}:
        return 0
    return asked_minor * 9 // 10 if instrument == Card.SHORT else asked_minor


def detail_of(instrument: str, state: ChargeState) -> str:
    """Say why a charge failed."""
    if state is not ChargeState.FAILED:
        return ""
    known = instrument in set(Card)
    return "the card was declined" if known else "the sandbox has no such test card"


def _disputed(instrument: str, age_ms: int, pace: Pace) -> ChargeState:
    if age_ms < pace.disputed_ms:
        return ChargeState.SUCCEEDED
    if age_ms < pace.decided_ms:
        return ChargeState.DISPUTED
    won = instrument == Card.DISPUTE_WON
    return ChargeState.DISPUTE_WON if won else ChargeState.DISPUTE_LOST

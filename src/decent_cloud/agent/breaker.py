"""The circuit breaker: removals that no ended contract stands behind stop when they would be many at once.

What the platform ends contract by contract, in its signed and unbroken log, is not counted: tenants
may all cancel on one day. Counted is paid time long over under a silent platform, and machines that
were set aside, whatever is said of those. People let it go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from decent_cloud.agent.journal import BREAKER, BREAKER_BEGUN, Journal
from decent_cloud.agent.records import MAY_EXIST, Alarm
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.ids import ContractId

ALARM_BREAKER = "circuit_breaker"
WINDOW_MS = HOUR_MS  # one pass: what begins within it counts together
SMALL = 2


@dataclass(frozen=True, slots=True)
class Held:
    """What the breaker holds up since when; once released, these go on and others are counted anew."""

    since_ms: int
    contracts: tuple[ContractId, ...]
    live: int
    released_ms: int = 0


def most(live: int) -> int:
    """Return how many of the live instances may be removed in one pass without a contract's end."""
    return max(SMALL, live // 10)


def read_held(journal: Journal) -> Held | None:
    """Return what is held up or was released, None if the breaker never tripped."""
    text = journal.fact(BREAKER)
    return codec.from_json(text, Held) if text else None


def release(journal: Journal, now_ms: int) -> Held | None:
    """Let go on what is held up now; return it, None if nothing is."""
    held = read_held(journal)
    if held is None or held.released_ms:
        return None
    gone_on = Held(held.since_ms, held.contracts, held.live, released_ms=now_ms)
    journal.set_facts({BREAKER: codec.to_json(gone_on).decode()})
    journal.clear_alarm(ALARM_BREAKER)
    return held


class Breaker:
    """Asked before each removal that no ended contract stands behind; safe for several threads."""

    def __init__(self, journal: Journal, due: Callable[[], Collection[ContractId]]) -> None:
        """`due` names all contracts whose next step now is such a removal."""
        self._journal = journal
        self._due = due
        self._lock = threading.Lock()
        found = read_held(journal)
        self._tripped = found is not None and not found.released_ms

    def holds(self) -> bool:
        """Whether such removals are held up until people say otherwise."""
        if not self._tripped:
            return False
        held = read_held(self._journal)
        self._tripped = held is not None and not held.released_ms
        return self._tripped

    def admit(self, contract: ContractId, now_ms: int, others: Collection[ContractId] = ()) -> bool:
        """Count one removal; False, an alarm, and a stop of all of them if it belongs to too many.

        `others` are due beside those of the plan.
        """
        with self._lock:
            if self.holds():
                return False
            held = read_held(self._journal)
            freed = frozenset(held.contracts) if held else frozenset()
            if contract in freed:
                return True
            begun = self._begun(now_ms)
            if contract in begun:
                return True  # the same one again, after an error
            due = (frozenset(self._due()) | {contract, *others}) - freed - begun.keys()
            live = sum(each.stage in MAY_EXIST for each in self._journal.instances())
            if len(begun) + len(due) > most(live):
                self._trip(due, live, now_ms)
                return False
            begun[contract] = now_ms
            text = ",".join(f"{each}@{ms}" for each, ms in begun.items())
            self._journal.set_facts({BREAKER_BEGUN: text})
            return True

    def watch(self, now_ms: int) -> None:
        """While it holds: keep the list of what is held up fresh, for whoever decides."""
        with self._lock:
            held = read_held(self._journal) if self._tripped else None
            if held is None or held.released_ms:
                return
            # Machines aside are not among those of the plan: what is on the list stays on it.
            due = frozenset(self._due()) | frozenset(held.contracts)
            if due != frozenset(held.contracts):
                self._trip(due, held.live, held.since_ms)

    def _begun(self, now_ms: int) -> dict[ContractId, int]:
        parts = (each.split("@") for each in self._journal.fact(BREAKER_BEGUN).split(",") if each)
        found = {ContractId(contract): int(ms) for contract, ms in parts}
        return {each: ms for each, ms in found.items() if abs(now_ms - ms) < WINDOW_MS}

    def _trip(self, due: Iterable[ContractId], live: int, since_ms: int) -> None:
        held = Held(since_ms, tuple(sorted(due)), live)
        self._tripped = True
        self._journal.set_facts({BREAKER: codec.to_json(held).decode()})
        text = (
            f"{len(held.contracts)} of {live} machines would be removed though the platform ended"
            " no contract of theirs; nothing of it is done until: dc-agent release-breaker"
        )
        self._journal.raise_alarm(Alarm(ALARM_BREAKER, text, since_ms))

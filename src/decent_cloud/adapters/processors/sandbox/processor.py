"""The FAKE processor behind the port: idempotent by key, slow or broken when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from decent_cloud.adapters.processors.sandbox.cards import (
    Card,
    Pace,
    detail_of,
    received_minor,
    state_of,
)
from decent_cloud.adapters.processors.sandbox.world import (
    Effect,
    StoredCharge,
    StoredRefund,
    Verb,
    World,
)
from decent_cloud.app.ports.processors import Charge, SentRefund, SentState
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import DecentError, Kind, TryLater
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import ServerMode

T = TypeVar("T")


class SandboxRefused(DecentError):
    """The sandbox processor takes no real money and runs in development mode only."""

    code = "sandbox_refused"
    kind = Kind.INVALID


class SandboxProcessor:
    """A processor that moves nothing. Its file is the outside world: it outlives the server, rolls nothing back."""

    name = "sandbox"

    def __init__(
        self, path: Path, mode: ServerMode, clock: Clock, pace: Pace | None = None
    ) -> None:
        """Open the world's file; raises SandboxRefused unless the server runs in development mode."""
        if mode is not ServerMode.DEVELOPMENT:
            raise SandboxRefused
        self._world = World(path)
        self._clock = clock
        self._pace = pace or Pace()
        # One thread: the file's connection belongs to it, and calls keep their order.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")

    async def charge(self, key: str, instrument: str, amount: Money) -> Charge:
        """Take fake money; the same key returns the same charge. Errors: TryLater (outcome unknown)."""
        return await self._call(Verb.CHARGE, lambda: self._charge(key, instrument, amount))

    async def read_charge(self, key: str) -> Charge | None:
        """Return the charge made under a key, None if there is none. Errors: TryLater."""
        return await self._call(Verb.READ_CHARGE, lambda: self._read_charge(key))

    async def refund(self, key: str, charge: str, amount: Money) -> SentRefund:
        """Give fake money back; the same key returns the same refund. Errors: TryLater (outcome unknown)."""
        return await self._call(Verb.REFUND, lambda: self._refund(key, charge, amount))

    async def read_refund(self, key: str) -> SentRefund | None:
        """Return the refund made under a key, None if there is none. Errors: TryLater."""
        return await self._call(Verb.READ_REFUND, lambda: self._read_refund(key))

    async def close(self) -> None:
        """Finish what runs and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._world.close)
        self._thread.shutdown()

    async def _call(self, verb: Verb, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._faulty, verb, act
        )

    def _faulty(self, verb: Verb, act: Callable[[], T]) -> T:
        effect = self._world.take_fault(verb)
        if effect is Effect.TIMEOUT:
            raise TryLater("the sandbox did not answer in time")
        if effect is Effect.ERROR:
            raise TryLater("the sandbox answered 500")
        answer = act()
        if effect is Effect.ANSWER_LOST:
            raise TryLater("the sandbox's answer was lost")
        return answer

    def _charge(self, key: str, instrument: str, amount: Money) -> Charge:
        return self._told(self._world.charge(key, instrument, amount, self._clock.now_ms()))

    def _read_charge(self, key: str) -> Charge | None:
        stored = self._world.read_charge(key)
        return self._told(stored) if stored else None

    def _told(self, stored: StoredCharge) -> Charge:
        state = state_of(stored.instrument, self._clock.now_ms() - stored.at_ms, self._pace)
        received = received_minor(stored.instrument, state, stored.asked.amount_minor)
        return Charge(
            external=stored.external,
            state=state,
            received=Money(received, stored.asked.asset),
            detail=detail_of(stored.instrument, state),
        )

    def _refund(self, key: str, charge: str, amount: Money) -> SentRefund:
        fails = self._world.instrument_of(charge) == Card.REFUND_FAILS
        refused = "the card no longer takes refunds" if fails else ""
        now_ms = self._clock.now_ms()
        return _sent(self._world.refund(key, charge, amount, now_ms, refused))

    def _read_refund(self, key: str) -> SentRefund | None:
        stored = self._world.read_refund(key)
        return _sent(stored) if stored else None


def _sent(stored: StoredRefund) -> SentRefund:
    state = SentState.FAILED if stored.refused else SentState.SUCCEEDED
    return SentRefund(stored.external, state, stored.refused)

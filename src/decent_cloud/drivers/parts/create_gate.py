"""One create of a contract at a time, and none too soon after one in doubt, where names are not unique."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from decent_cloud.drivers.contract import Broken, TryLater
from decent_cloud.kernel.clock import SECOND_MS, Clock
from decent_cloud.kernel.ids import ContractId

_TOO_MANY_CALLS = 429


class CreateGate:
    """Caution of one process beside the look-up by tag, which stays the only truth.

    Two threads must not both look, find nothing and order; and a backend may show what it made
    only after `lag_s`, so that finding nothing right after a lost answer proves nothing.
    """

    def __init__(self, clock: Clock, lag_s: float) -> None:
        self._clock = clock
        self._lag_ms = round(lag_s * SECOND_MS)
        self._lock = threading.Lock()
        self._under_way: set[ContractId] = set()
        self._doubted_ms: dict[ContractId, int] = {}

    @contextmanager
    def making(self, contract: ContractId) -> Iterator[None]:
        """Hold the contract while it is looked up and ordered. Errors: TryLater if another thread does."""
        with self._lock:
            if contract in self._under_way:
                raise TryLater("another create of this contract is under way", after_s=2)
            self._under_way.add(contract)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(contract)

    @contextmanager
    def ordering(self, contract: ContractId) -> Iterator[None]:
        """Order, having found nothing; remember it if the outcome is unknown.

        Errors: TryLater if the last order's outcome is unknown and the look-up was too soon after it.
        """
        self._refuse_doubt(contract)
        try:
            yield
        except (TryLater, Broken) as error:
            if error.details.get("status") != _TOO_MANY_CALLS:
                with self._lock:
                    self._doubted_ms[contract] = self._clock.now_ms()
            raise
        with self._lock:
            self._doubted_ms.pop(contract, None)

    def _refuse_doubt(self, contract: ContractId) -> None:
        with self._lock:
            doubted_ms = self._doubted_ms.get(contract)
            if doubted_ms is None:
                return
            left_ms = self._lag_ms - abs(self._clock.now_ms() - doubted_ms)
            if left_ms > 0:
                raise TryLater(
                    "the last order's outcome is unknown; looking again before another is made",
                    after_s=max(1, -(-left_ms // SECOND_MS)),
                )
            del self._doubted_ms[contract]

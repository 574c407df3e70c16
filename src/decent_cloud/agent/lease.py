"""Keeps the leases of work in progress alive, in a thread of its own, away from the hot path."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from decent_cloud.client.agents import AgentApi
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.assignments import RenewLease

_log = structlog.get_logger("dc-agent")
LEASE_LOST = "lease_lost"


class LeaseKeeper:
    """Which leases we hold; a lost one is no longer held, and `on_lost` is told which contract's."""

    def __init__(self, api: AgentApi, clock: Clock, renew_s: int) -> None:
        self._api = api
        self._clock = clock
        self._renew_s = renew_s
        self._lock = threading.Lock()
        self._held: dict[ContractId, tuple[int, int]] = {}  # fence, renewed at ms
        self._stop = threading.Event()
        self.on_lost: Callable[[ContractId], None] = lambda _contract: None

    def hold(self, contract: ContractId, fence: int) -> None:
        """Keep this lease from now on; it was taken or renewed just now."""
        with self._lock:
            self._held[contract] = (fence, self._clock.now_ms())

    def drop(self, contract: ContractId) -> None:
        """Let it run out."""
        with self._lock:
            self._held.pop(contract, None)

    def holds(self, contract: ContractId, fence: int) -> bool:
        """Whether this lease was not lost, as far as we know."""
        with self._lock:
            return self._held.get(contract, (0, 0))[0] == fence != 0

    def run(self) -> None:
        """Renew until stopped."""
        while not self._stop.wait(min(1.0, self._renew_s / 4)):
            self.renew_due()

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def renew_due(self) -> None:
        """Renew every lease that was not renewed for a while; a failure is tried again soon."""
        now_ms = self._clock.now_ms()
        with self._lock:
            due = [
                (contract, fence)
                for contract, (fence, renewed_ms) in self._held.items()
                if abs(now_ms - renewed_ms) >= self._renew_s * 1_000
            ]
        for contract, fence in due:
            self._renew(contract, fence)

    def _renew(self, contract: ContractId, fence: int) -> None:
        try:
            self._api.renew_lease(contract, RenewLease(fence=fence))
        except DecentError as error:
            _log.warning("lease not renewed", contract=contract, code=error.code)
            if error.kind is not Kind.CONFLICT:
                return  # a lease that ran out can still be renewed by its holder
            with self._lock:
                if self._held.get(contract, (0, 0))[0] == fence:
                    del self._held[contract]
            self.on_lost(contract)
            return
        with self._lock:
            if self._held.get(contract, (0, 0))[0] == fence:
                self._held[contract] = (fence, self._clock.now_ms())

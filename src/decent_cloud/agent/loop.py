"""The agent's loop: woken by news, finished work and timers, it plans and hands out work."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from decent_cloud.agent.act import Actor
from decent_cloud.agent.plan import plan
from decent_cloud.agent.situation import NEVER_MS
from decent_cloud.agent.survey import Surveyor
from decent_cloud.agent.work import Work
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import ContractId

_log = structlog.get_logger("dc-agent")

LONGEST_WAIT_S = 60.0
AFTER_TROUBLE_MS = 5_000


class Waker:
    """Lets other threads tell the loop what to look at."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._ready: set[ContractId] = set()
        self._stopped = False
        self._nudged = False

    def ready(self, contracts: Iterable[ContractId]) -> None:
        """Look at these contracts now."""
        with self._condition:
            self._ready.update(contracts)
            self._nudged = True
            self._condition.notify()

    def stop(self) -> None:
        """End the loop."""
        with self._condition:
            self._stopped = True
            self._condition.notify()

    def wait(self, timeout_s: float) -> tuple[bool, set[ContractId]]:
        """Wait for news; return whether to stop, and the contracts to look at, forgetting them."""
        with self._condition:
            if not self._nudged and not self._stopped and timeout_s > 0:
                self._condition.wait(timeout_s)
            found, self._ready, self._nudged = self._ready, set(), False
            return self._stopped, found


class Loop:
    """Runs until stopped; then running work has `drain_s` to end."""

    def __init__(self, work: Work, actor: Actor, waker: Waker) -> None:
        self._work = work
        self._actor = actor
        self._waker = waker
        self._lock = threading.Lock()
        self._busy: set[ContractId] = set()
        self._again: set[ContractId] = set()  # changed while they were worked on
        self._due_ms: dict[ContractId, int] = {}
        self._pool = ThreadPoolExecutor(work.settings.concurrency, thread_name_prefix="work")
        self._surveyor = Surveyor(work, waker.ready, actor.breaker.admit)
        self._survey_pool = ThreadPoolExecutor(1, thread_name_prefix="survey")
        self._survey: Future[None] | None = None
        self.drained = False

    def run(self) -> None:
        """Work until `Waker.stop`."""
        next_survey_ms = 0
        while True:
            wait_ms = min(next_survey_ms, self._next_due_ms()) - self._work.now_ms()
            stopped, ready = self._waker.wait(min(wait_ms / 1_000, LONGEST_WAIT_S))
            if stopped:
                break
            now_ms = self._work.now_ms()
            try:
                if now_ms >= next_survey_ms:
                    next_survey_ms = now_ms + self._poll_ms()
                    self._begin_survey()
                self._hand_out(ready | self._overdue(now_ms))
            except Exception as error:  # noqa: BLE001 - a loop's edge
                self._trouble(ready, error)
        self._drain()

    def _hand_out(self, contracts: set[ContractId]) -> None:
        """Give contracts that have something to do to the workers, most urgent first."""
        with self._lock:
            self._again |= contracts & self._busy
            idle = contracts - self._busy
        if not idle:
            return
        room = 2 * self._work.settings.concurrency - len(self._busy)
        situations = ((each, self._actor.situation(each)) for each in idle)
        found = plan(situations, max(room, 0))
        with self._lock:
            self._busy.update(found.now)
            self._due_ms.update(found.later_ms)
            for contract in found.now:
                self._due_ms.pop(contract, None)
        for contract in found.now:
            self._pool.submit(self._run, contract)

    def _run(self, contract: ContractId) -> None:
        due_ms = self._work.now_ms() + AFTER_TROUBLE_MS
        try:
            due_ms = self._actor.work(contract)
        except Exception:  # noqa: BLE001 - a loop's edge
            _log.exception("work failed", contract=contract)
        finally:
            with self._lock:
                self._busy.discard(contract)
                again = contract in self._again
                self._again.discard(contract)
                self._due_ms[contract] = due_ms
            self._waker.ready([contract] if again else ())

    def _trouble(self, ready: set[ContractId], error: Exception) -> None:
        code = error.code if isinstance(error, DecentError) else type(error).__name__
        _log.error("pass failed", code=code, error=str(error), exc_info=error)
        later_ms = self._work.now_ms() + AFTER_TROUBLE_MS
        with self._lock:
            for contract in ready | set(self._due_ms):
                self._due_ms[contract] = max(later_ms, self._due_ms.get(contract, 0))

    def _next_due_ms(self) -> int:
        with self._lock:
            return min(self._due_ms.values(), default=NEVER_MS)

    def _overdue(self, now_ms: int) -> set[ContractId]:
        with self._lock:
            return {each for each, due_ms in self._due_ms.items() if due_ms <= now_ms}

    def _poll_ms(self) -> int:
        return int(self._work.settings.poll_s * random.uniform(800, 1_000))  # noqa: S311 - jitter

    def _begin_survey(self) -> None:
        self._actor.breaker.watch(self._work.now_ms())
        if self._survey is None or self._survey.done():
            self._survey = self._survey_pool.submit(self._surveyor.run)

    def _drain(self) -> None:
        """Let running steps end; what is not at its end then goes on after the next start."""
        self._actor.draining.set()
        self._survey_pool.shutdown(wait=False, cancel_futures=True)
        ended = threading.Event()

        def close() -> None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            ended.set()

        threading.Thread(target=close, daemon=True).start()
        self.drained = ended.wait(self._work.settings.drain_s)
        if not self.drained:
            _log.warning("work is still running; it goes on after the next start")

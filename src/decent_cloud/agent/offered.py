"""Compares what the pool offers with the backend, and tells the platform which offerings it can make."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import structlog

from decent_cloud.agent.backend import Backend
from decent_cloud.client.agents import AgentApi
from decent_cloud.drivers.contract import (
    CanCheckPlan,
    CanResetPassword,
    Check,
    Driver,
    DriverError,
    Plan,
)
from decent_cloud.kernel.clock import MINUTE_MS, Clock
from decent_cloud.kernel.errors import DecentError
from decent_cloud.wire.v1.plan_checks import OfferedPlan, PlanProblemWire, PlanWord, PlanWords

_log = structlog.get_logger("dc-agent")

AGAIN_MS = 10 * MINUTE_MS  # stock comes and goes
LOOK_S = 60.0  # as often as an inventory: hints may be lost
MAX_WORDS = 100  # that one report takes
_MOST_PAGES = 100
_MOST_PROBLEMS = 20


def all_offered(api: AgentApi, page_size: int = 200) -> Iterator[OfferedPlan]:
    """Read every published offering of our pool. Errors: ApiProblem, Unreachable, BadAnswer."""
    cursor = ""
    for _ in range(_MOST_PAGES):
        page = api.offered(cursor, page_size)
        yield from page.items
        cursor = page.next
        if not cursor:
            return


def compare(driver: Driver, offered: OfferedPlan) -> tuple[Check, ...]:
    """Compare one offering with what the driver's backend has, and its promises with what the driver can.

    Errors: AuthFailed, TryLater, Broken where the backend could not be asked.
    """
    checks: tuple[Check, ...] = ()
    if isinstance(driver, CanCheckPlan):
        checks = driver.check_plan(
            Plan(
                offered.image,
                offered.cpu_milli,
                offered.memory_mib,
                offered.disk_gib,
                offered.settings,
            )
        )
    return (*checks, _promise(driver, offered))


def _promise(driver: Driver, offered: OfferedPlan) -> Check:
    """Tell whether somebody could make the new passwords that the terms promise."""
    if not offered.reset:
        return Check("reset", True, "no new passwords are promised")
    if isinstance(driver, CanResetPassword):
        return Check("reset", True, "the driver sets new passwords")
    if offered.management_key:
        return Check("reset", True, "new passwords are set with the management key")
    name = driver.describe().name
    return Check(
        "reset",
        False,
        f"new passwords are promised, the driver {name} can set none, and the terms allow no management key",
        "offer it with --management-key true, or with --reset false, and publish it again",
    )


class OfferedWatch:
    """Runs in a thread of its own: a slow catalogue holds up neither work nor heartbeats."""

    def __init__(self, api: AgentApi, backend: Backend, clock: Clock) -> None:
        self._api = api
        self._backend = backend
        self._clock = clock
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._everything = threading.Event()
        self._compared: dict[str, tuple[int, int]] = {}  # revision and when, by offering

    def look(self, *, everything: bool = False) -> None:
        """Look now: something may have been published; or compare everything again."""
        if everything:
            self._everything.set()
        self._wanted.set()

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()
        self._wanted.set()

    def run(self, every_s: float = LOOK_S) -> None:
        """Look until stopped, at once at first."""
        while not self._stopped.is_set():
            self._wanted.clear()
            try:
                self.look_once()
            except DecentError as error:
                _log.warning("offerings not compared", code=error.code, error=error.message)
            except Exception:  # noqa: BLE001 - a loop's edge
                if not self._stopped.is_set():  # else its connections are closed under it
                    _log.exception("offerings not compared")
            self._wanted.wait(every_s)

    def look_once(self) -> None:
        """Compare what is new, changed or was compared long ago, and tell each word as soon as it is had."""
        offered = list(all_offered(self._api))
        if self._everything.is_set():
            self._everything.clear()
            self._compared.clear()
        here = {each.offering for each in offered}
        self._compared = {key: told for key, told in self._compared.items() if key in here}
        due = [each for each in offered if self._is_due(each)]
        for start in range(0, len(due), MAX_WORDS):
            self._tell(due[start : start + MAX_WORDS])

    def _is_due(self, offered: OfferedPlan) -> bool:
        revision, at_ms = self._compared.get(offered.offering, (0, 0))
        old = abs(self._clock.now_ms() - at_ms) >= AGAIN_MS
        return revision != offered.revision or old

    def _tell(self, batch: Iterable[OfferedPlan]) -> None:
        words, compared = [], {}
        for each in batch:
            word = self._word(each)
            if word is not None:
                words.append(word)
                compared[each.offering] = (each.revision, self._clock.now_ms())
        if words:
            self._api.say_plans(PlanWords(items=tuple(words)))
            self._compared.update(compared)

    def _word(self, offered: OfferedPlan) -> PlanWord | None:
        """Compare one offering; None where the backend cannot be asked now: then nothing is known."""
        try:
            checks = self._backend.guarded(lambda: compare(self._backend.driver, offered))
        except DriverError as error:
            _log.warning("offering not compared", offering=offered.offering, error=error.message)
            return None
        failed = [each for each in checks if not each.passed]
        for each in failed:
            _log.warning("offering does not fit", offering=offered.offering, problem=each.detail)
        problems = tuple(
            PlanProblemWire(
                check=each.name[:300], detail=each.detail[:1_000], cure=each.cure[:1_000]
            )
            for each in failed[:_MOST_PROBLEMS]
        )
        return PlanWord(offering=offered.offering, revision=offered.revision, problems=problems)

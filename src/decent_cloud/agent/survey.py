"""Reads the whole backend now and then: what runs, what vanished, and what nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from decent_cloud.agent.asides import Admit, Asides
from decent_cloud.agent.backend import handle_text, same
from decent_cloud.agent.records import Stage
from decent_cloud.agent.situation import Standing, passed
from decent_cloud.agent.work import Work
from decent_cloud.drivers.contract import Observation
from decent_cloud.kernel.clock import DAY_MS
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

_log = structlog.get_logger("dc-agent")

KEEP_ENDED_MS = 30 * DAY_MS


class Surveyor:
    """One survey at a time, in a thread of its own: a slow backend holds up no other work."""

    def __init__(
        self, work: Work, ready: Callable[[Iterable[ContractId]], None], admit: Admit
    ) -> None:
        self._work = work
        self._ready = ready
        self._asides = Asides(work, admit)
        self._strangers: dict[tuple[ContractId, str], int] = {}  # first seen at ms

    def run(self) -> None:
        """Survey once. A backend that cannot be read leaves everything unknown: nothing follows."""
        w = self._work
        try:
            if not w.backend.scope:
                if w.backend.try_out():
                    _log.info("the backend can be used", backend=w.backend.scope)
                    self._ready(w.desired.contracts())
                else:
                    _log.warning("the backend cannot be used; nothing is made until it can")
            self._survey()
        except DecentError as error:
            _log.warning("backend not read", code=error.code, error=error.message)
        except Exception:  # noqa: BLE001 - a loop's edge
            _log.exception("backend not read")

    def _survey(self) -> None:
        w = self._work
        held = {each.contract: each for each in w.journal.instances()}
        open_ones = [each for each in held.values() if each.stage is not Stage.ENDED]
        found = w.backend.survey(open_ones)
        for contract, group in found.items():
            self._look_for_strays(contract, group)
        here = {
            (contract, handle_text(each.handle))
            for contract, group in found.items()
            for each in group
        }
        self._strangers = {key: ms for key, ms in self._strangers.items() if key in here}
        self._release(here)
        self._asides.obey(found)
        for one in held.values():
            if one.stage is Stage.ENDED and w.now_ms() - one.updated_at_ms > KEEP_ENDED_MS:
                w.journal.forget(one.contract)
                w.desired.forget(one.contract)
        self._ready([each.contract for each in open_ones])

    def _look_for_strays(self, contract: ContractId, group: tuple[Observation, ...]) -> None:
        """Set aside what carries our tag and is nobody's: never removed on our own account."""
        w = self._work
        instance, want = w.journal.instance(contract), w.desired.want(contract)
        if instance is None and want is None:
            for each in group:
                self._set_stranger_aside(each)
        elif instance is not None and instance.stage is Stage.BOUND and instance.handle is not None:
            for each in group:
                if not same(each.handle, instance.handle):
                    self._set_double_aside(each)

    def _set_stranger_aside(self, stranger: Observation) -> None:
        """Not at first sight: another agent's machine may be here before its contract is known to us."""
        w = self._work
        key = (stranger.contract, handle_text(stranger.handle))
        first_ms = self._strangers.setdefault(key, w.now_ms())
        patience_ms = 2_000 * w.settings.poll_s
        if w.desired.standing is Standing.TRUSTED and passed(first_ms, patience_ms, w.now_ms()):
            w.set_aside(stranger.contract, stranger.handle, "no contract that we know of")

    def _release(self, here: set[tuple[ContractId, str]]) -> None:
        """Forget what was set aside and is gone, as far as the backend that we know says so."""
        w = self._work
        if w.backend.changed:
            return
        for aside in w.journal.quarantined():
            instance = w.journal.instance(aside.contract)
            open_one = instance is not None and instance.stage is not Stage.ENDED
            if (aside.contract, aside.instance) not in here and not open_one:
                w.journal.release(aside)
                w.journal.clear_alarm(f"quarantine:{aside.contract}")

    def _set_double_aside(self, double: Observation) -> None:
        """Keep aside, and stop what an attempt of ours made that nobody was given the secrets of."""
        w = self._work
        w.set_aside(double.contract, double.handle, "a second machine of one contract")
        attempt = w.journal.attempt(double.attempt) if double.attempt else None
        running = double.state is Observed.RUNNING
        if attempt is not None and running and w.backend.can_stop and double.handle is not None:
            w.backend.stop_aside(double.handle, double.contract)

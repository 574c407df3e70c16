"""Carries out the platform's signed word about machines that are kept aside: stop, delete after a grace, leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import structlog

from decent_cloud.agent.backend import handle_text
from decent_cloud.agent.records import MAY_EXIST, Quarantined
from decent_cloud.agent.situation import passed
from decent_cloud.agent.work import Work
from decent_cloud.drivers.contract import Observation
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import AsideWord, Observed

_log = structlog.get_logger("dc-agent")

Found = Mapping[ContractId, tuple[Observation, ...]]
Admit = Callable[[ContractId, int, Collection[ContractId]], bool]  # the circuit breaker


class Asides:
    """Looks at what was found aside once a survey; one machine's trouble stays its own."""

    def __init__(self, work: Work, admit: Admit) -> None:
        self._work = work
        self._admit = admit

    def obey(self, found: Found) -> None:
        """Do what the platform says of each machine that is aside and was seen by this survey."""
        for aside in self._work.journal.quarantined():
            seen = _seen(found, aside)
            if seen is None:
                continue
            self._work.backend.note_aside(aside.instance, seen.state)
            try:
                self._obey(aside, seen)
            except DecentError as error:
                _log.warning("aside", machine=aside.instance, code=error.code, error=error.message)

    def _obey(self, aside: Quarantined, seen: Observation) -> None:
        w = self._work
        word = w.desired.aside_word(aside.instance)
        if word is AsideWord.LEAVE:
            w.journal.clear_alarm(f"quarantine:{aside.contract}")
        if word not in {AsideWord.STOP, AsideWord.DELETE} or seen.handle is None:
            return
        if self._is_used(aside):
            return
        if seen.state is Observed.RUNNING and w.backend.can_stop:
            _log.info("stopping what is aside", machine=aside.instance)
            w.backend.stop_aside(seen.handle, aside.contract)
            w.backend.note_aside(aside.instance, Observed.STOPPED)
        grace_ms = w.settings.quarantine_grace_s * 1_000
        if word is AsideWord.DELETE and passed(aside.first_seen_ms, grace_ms, w.now_ms()):
            if not self._admit(aside.contract, w.now_ms(), self._to_delete()):
                return
            _log.info("deleting what is aside, as its provider says", machine=aside.instance)
            w.backend.destroy_aside(seen.handle, aside.contract)

    def _to_delete(self) -> frozenset[ContractId]:
        """Return the contracts whose machines aside are to be deleted, whenever."""
        w = self._work
        return frozenset(
            each.contract
            for each in w.journal.quarantined()
            if w.desired.aside_word(each.instance) is AsideWord.DELETE
        )

    def _is_used(self, aside: Quarantined) -> bool:
        """Whether it is the very machine of work in our journal: that work's own rules hold."""
        instance = self._work.journal.instance(aside.contract)
        return (
            instance is not None
            and instance.stage in MAY_EXIST
            and handle_text(instance.handle) == aside.instance
        )


def _seen(found: Found, aside: Quarantined) -> Observation | None:
    for each in found.get(aside.contract, ()):
        if handle_text(each.handle) == aside.instance:
            return None if each.state in {Observed.ABSENT, Observed.DELETING} else each
    return None

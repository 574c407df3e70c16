"""Reads the platform's signed desired state and decides whether it may be believed.

Believed is only a view that the pinned key signed, for our provider and pool, whose log contains the
last entry we saw. Anything else raises an alarm, and while it lasts nothing is stopped or destroyed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from decent_cloud.agent import steps
from decent_cloud.agent.journal import (
    LAST_CONTACT_MS,
    LOG_HASH,
    LOG_SEQ,
    PLATFORM_ID,
    PLATFORM_KEY,
    POOL,
    PROVIDER,
    Journal,
)
from decent_cloud.agent.records import Alarm, Want
from decent_cloud.agent.situation import Standing
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.errors import BadAnswer
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.platform import DESIRED, verify_platform
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import DecentError, Invalid, Kind
from decent_cloud.kernel.ids import AccountId, ContractId, Digest
from decent_cloud.kernel.status import AsideWord, ResetSubject
from decent_cloud.wire.v1.agents import AssignmentView, DesiredView, SignedDesired

SILENT_AFTER_FAILURES = 3
ALARM_DISTRUST = "platform_distrusted"
ALARM_SILENT = "platform_silent"
ALARM_UNNAMED = "instances_not_named"
_REFUSALS = frozenset({Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND})
_SILENCE = frozenset({Kind.TRY_LATER, Kind.INTERNAL})


class DesiredDistrusted(DecentError):
    """The platform's desired state cannot be believed."""

    code = "desired_distrusted"
    kind = Kind.CONFLICT


def verified(signed: SignedDesired, journal: Journal) -> DesiredView:
    """Return a view that the pinned platform signed and whose log goes on from the one we know.

    Errors: DesiredDistrusted.
    """
    try:
        payload, signature = b64u.decode(signed.payload), b64u.decode(signed.sig)
        verify_platform(b64u.decode(journal.fact(PLATFORM_KEY)), DESIRED, payload, signature)
        view = codec.from_json(payload, DesiredView)
    except KeyRefused as error:
        raise DesiredDistrusted(
            f"not signed by the platform we registered with: {error}"
        ) from error
    except Invalid as error:
        raise DesiredDistrusted(f"it cannot be read: {error.message}") from error
    pinned = (journal.fact(PLATFORM_ID), journal.fact(PROVIDER), journal.fact(POOL))
    if (view.platform_id, view.provider, view.pool) != pinned:
        raise DesiredDistrusted(
            f"from another platform, provider or pool ({view.platform_id[:12]}, {view.pool})"
        )
    seq, head = int(journal.fact(LOG_SEQ) or 0), journal.fact(LOG_HASH)
    if view.seq < seq:
        raise DesiredDistrusted(f"the platform's log was rolled back from {seq} to {view.seq}")
    if seq and (view.pin_seq, view.pin_hash) != (seq, head):
        raise DesiredDistrusted(f"the platform's log is another one at entry {seq}")
    return view


class DesiredState:
    """What the platform wants, in its newest trusted view, and how far its word counts now."""

    def __init__(self, api: AgentApi, journal: Journal, on_step: steps.OnStep) -> None:
        self._api = api
        self._journal = journal
        self._on_step = on_step
        self._lock = threading.Lock()
        self._standing = Standing.UNKNOWN
        self._views: Mapping[ContractId, AssignmentView] = {}
        self._wants = {want.contract: want for want in journal.wants()}
        self._asides: Mapping[str, AsideWord] = {}
        self._failures = 0
        self._contact_written_ms = 0

    @property
    def standing(self) -> Standing:
        """How far the platform's word counts now."""
        return self._standing

    def want(self, contract: ContractId) -> Want | None:
        """Return the last trusted word about a contract."""
        with self._lock:
            return self._wants.get(contract)

    def assignment(self, contract: ContractId) -> AssignmentView | None:
        """Return the contract's work in the newest trusted view of this run."""
        with self._lock:
            return self._views.get(contract)

    def aside_word(self, instance: str) -> AsideWord:
        """Return what the newest trusted view of this run says of a machine that is kept aside."""
        with self._lock:
            trusted = self._standing is Standing.TRUSTED
            return self._asides.get(instance, AsideWord.NONE) if trusted else AsideWord.NONE

    def contracts(self) -> frozenset[ContractId]:
        """Return every contract that a want is known of."""
        with self._lock:
            return frozenset(self._wants)

    def forget(self, contract: ContractId) -> None:
        """Drop what is known about an ended contract."""
        with self._lock:
            self._wants.pop(contract, None)

    def refresh(self, now_ms: int) -> frozenset[ContractId]:
        """Fetch, verify and journal the desired state; return the contracts whose word changed.

        Never raises for what the platform does or says: that shows in `standing` and in alarms.
        """
        self._on_step(steps.DESIRED_ASKED)
        try:
            signed = self._api.desired(int(self._journal.fact(LOG_SEQ) or 0))
            self._on_step(steps.DESIRED_ANSWERED)
            view = verified(signed, self._journal)
        except (DesiredDistrusted, BadAnswer) as error:
            return self._distrust(error.message, now_ms)
        except DecentError as error:
            if error.kind in _REFUSALS:
                # An emptied or foreign platform does not know us either.
                return self._distrust(f"it refuses this agent: {error.message}", now_ms)
            # Too many requests, for one, is an answer: no silence, and no news either.
            return self._failed(error, now_ms) if error.kind in _SILENCE else frozenset()
        return self._accept(view, now_ms)

    def _accept(self, view: DesiredView, now_ms: int) -> frozenset[ContractId]:
        named = {ContractId(each.contract): each for each in view.assignments}
        wants = {contract: _want(each, now_ms) for contract, each in named.items()}
        with self._lock:
            known = dict(self._wants)
        for contract, want in known.items():
            if contract not in wants and want.named:
                wants[contract] = replace(want, named=False)
        changed = {
            contract: want
            for contract, want in wants.items()
            if contract not in known
            or replace(want, seen_at_ms=known[contract].seen_at_ms) != known[contract]
        }
        log = {LOG_SEQ: str(view.seq), LOG_HASH: view.hash}
        moved = (self._journal.fact(LOG_SEQ), self._journal.fact(LOG_HASH)) != tuple(log.values())
        # A flush to disk costs: a pass without news writes the time of contact now and then only.
        if changed or moved or now_ms - self._contact_written_ms > 60_000:
            self._journal.record_desired({**log, LAST_CONTACT_MS: str(now_ms)}, changed.values())
            self._contact_written_ms = now_ms
        with self._lock:
            self._views = named
            self._asides = {each.instance: each.word for each in view.asides}
            self._wants.update(changed)
        self._on_step(steps.DESIRED_JOURNALLED)
        self._failures = 0
        woke = self._standing is not Standing.TRUSTED
        self._standing = Standing.TRUSTED
        self._journal.clear_alarm(ALARM_DISTRUST)
        self._journal.clear_alarm(ALARM_SILENT)
        return frozenset(known | wants if woke else changed)

    def _distrust(self, why: str, now_ms: int) -> frozenset[ContractId]:
        self._standing = Standing.DISTRUSTED
        text = (
            f"nothing is stopped or destroyed while the platform's word cannot be believed: {why}"
        )
        self._journal.raise_alarm(Alarm(ALARM_DISTRUST, text, now_ms))
        return frozenset()

    def _failed(self, error: DecentError, now_ms: int) -> frozenset[ContractId]:
        self._failures += 1
        if self._failures < SILENT_AFTER_FAILURES:
            return frozenset()
        self._standing = Standing.SILENT
        self._journal.raise_alarm(Alarm(ALARM_SILENT, error.message, now_ms))
        with self._lock:
            return frozenset(self._wants)


def _want(view: AssignmentView, now_ms: int) -> Want:
    return Want(
        contract=ContractId(view.contract),
        digest=Digest(view.digest),
        tenant=AccountId(view.tenant),
        desired=view.desired,
        state=view.state,
        holder=view.holder,
        scope=view.scope,
        fence=view.fence,
        lease_expires_ms=view.lease_expires_at_ms,
        paid_until_ms=view.paid_until_ms,
        deadline_ms=view.deadline_ms,
        renews=view.renews,
        suspended=view.suspended,
        next_n=view.next_n,
        reset=view.reset or view.keys_reset,
        reset_subject=ResetSubject.SSH_KEYS if view.keys_reset else ResetSubject.PASSWORD,
        seen_at_ms=now_ms,
    )

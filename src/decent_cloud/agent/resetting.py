"""New passwords and SSH keys for running machines: claimed, prepared, set, told, and proven.

What is set is journalled before the call, a password only sealed. After a crash the same keys are set
again; a password whose plaintext died with the process is followed by the next one: in the end one works,
and it is the newest that the tenant was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from decent_cloud.agent import steps
from decent_cloud.agent.entering import Entering
from decent_cloud.agent.new_keys import NewKeys
from decent_cloud.agent.new_password import NewPassword
from decent_cloud.agent.records import Instance, Reset, ResetPhase
from decent_cloud.agent.renewal import GiveUp, Renewal
from decent_cloud.agent.work import MAX_DETAIL, Work
from decent_cloud.client.errors import ApiProblem
from decent_cloud.drivers.contract import AuthFailed, Rejected
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ResetFailure, ResetState, ResetSubject
from decent_cloud.wire.v1.resets import ResetClaimed, ResetGivenUp, ResetVerified

MAX_ROUNDS = 5  # times that one reset is begun anew
MAX_REFUSALS = 3  # looks at what one of them set
LOOK_AGAIN_MS = 500
ALARM_NOT_ALLOWED = "reset_not_allowed"  # the provider must delegate it: decent agents approve
P = ResetPhase
_OPEN = frozenset({ResetState.REQUESTED, ResetState.CLAIMED, ResetState.APPLIED})
_WORDS = {ResetSubject.PASSWORD: "new password", ResetSubject.SSH_KEYS: "new SSH keys"}


class Resetting:
    """One step a call; what it leaves in the journal says what the next one is."""

    def __init__(self, work: Work) -> None:
        self._work = work
        entering = Entering(work)
        self._renewals: dict[ResetSubject, Renewal] = {
            ResetSubject.PASSWORD: NewPassword(work, entering),
            ResetSubject.SSH_KEYS: NewKeys(work, entering),
        }
        self._phases: dict[ResetPhase, Callable[[Instance, Reset], None]] = {
            P.CLAIMED: self._prepare,
            P.SEALED: self._apply,
            P.CALLED: self._apply,
            P.APPLIED: self._tell,
            P.TOLD: self._prove,
            P.VERIFIED: self._tell_verified,
            P.FAILED: self._tell_failed,
        }

    def step(self, contract: ContractId) -> None:
        """Do the next step of a contract's reset."""
        w = self._work
        instance = w.instance(contract)
        reset = instance.reset
        want = w.desired.want(contract)
        asked = want.reset if want else ""
        subject = want.reset_subject if want else ResetSubject.PASSWORD
        if reset is None:
            self._claim(instance, Reset(asked, P.CLAIMED, rounds=0, subject=subject))
        elif asked not in {"", reset.id} and self._gives_way(reset, subject):
            self._claim(instance, self._successor(reset, asked, subject))
        elif not asked and reset.phase in {P.CLAIMED, P.SEALED} and not reset.unsure:
            self._end(instance, reset)
        elif reset.phase in {P.SEALED, P.CALLED, P.TOLD} and not self._of(reset).is_at_hand(
            contract, reset
        ):
            self._claim(instance, reset)
        else:
            self._phases[reset.phase](instance, reset)

    def forget(self, contract: ContractId) -> None:
        """Drop what is kept in memory for a contract: it must not be used any more."""
        for renewal in self._renewals.values():
            renewal.forget(contract)

    def _of(self, reset: Reset) -> Renewal:
        return self._renewals[reset.subject]

    def _gives_way(self, reset: Reset, subject: ResetSubject) -> bool:
        """The platform ended ours and wants another one: does that take the place of ours at once?

        What ours may have set is told first, unless the other one overwrites it.
        """
        return reset.phase is not P.APPLIED and (subject is reset.subject or not reset.unsure)

    def _successor(self, reset: Reset, asked: str, subject: ResetSubject) -> Reset:
        if subject is not reset.subject or not self._of(reset).must_finish:
            return Reset(asked, P.CLAIMED, rounds=0, subject=subject)
        return Reset(
            asked, P.CLAIMED, reset.n, rounds=0, unsure=reset.unsure, subject=reset.subject
        )

    def _claim(self, instance: Instance, reset: Reset) -> None:
        """Take the reset on, or begin it anew; the answer says which number what comes next gets."""
        w = self._work
        renewal = self._of(reset)
        self.forget(instance.contract)
        w.on_step(steps.RESET_CLAIM_ASKED)
        body = ResetClaimed(scope=instance.scope, reset=reset.id)
        try:
            answer = w.api.report_reset(instance.contract, reset.subject, body)
        except ApiProblem as error:
            if error.code == "agent_not_allowed":
                w.alarm(ALARM_NOT_ALLOWED, error.message)
            raise
        w.on_step(steps.RESET_CLAIM_ANSWERED)
        if answer.state not in _OPEN and not reset.unsure:
            self._end(instance, reset)
            return
        claimed = Reset(
            answer.id,
            P.CLAIMED,
            n=renewal.number(answer, reset),
            rounds=reset.rounds + 1,
            unsure=reset.unsure,
            subject=reset.subject,
        )
        if claimed.rounds > MAX_ROUNDS and not claimed.unsure:
            self._give_up(instance, claimed, GiveUp(renewal.unproven, reset.detail))
            return
        self._journal(instance, claimed)
        w.on_step(steps.RESET_CLAIM_JOURNALLED)

    def _prepare(self, instance: Instance, reset: Reset) -> None:
        try:
            instance, prepared = self._of(reset).prepare(instance, reset)
        except GiveUp as why:
            self._give_up(instance, reset, why)
            return
        self._journal(instance, replace(prepared, phase=P.SEALED))
        self._work.on_step(steps.RESET_SEALED_JOURNALLED)

    def _apply(self, instance: Instance, reset: Reset) -> None:
        """Set it. From the call on, the work goes on until the platform knows what works."""
        w = self._work
        renewal = self._of(reset)
        called = replace(reset, phase=P.CALLED, unsure=True)
        instance = self._journal(instance, called)
        w.on_step(steps.RESET_CALL_JOURNALLED)
        w.on_step(steps.RESET_CALLED)
        try:
            candidate = renewal.apply(instance, called)
        except Rejected as error:
            self._give_up(instance, called, GiveUp(ResetFailure.REJECTED, error.message))
            return
        except AuthFailed as error:
            if reset.unsure and renewal.must_finish:
                raise  # an earlier call may have set what nobody has
            self._give_up(instance, called, GiveUp(ResetFailure.AUTH_FAILED, error.message))
            return
        w.on_step(steps.RESET_ANSWERED)
        self._journal(instance, replace(called, phase=P.APPLIED, candidate=candidate))
        w.on_step(steps.RESET_APPLIED_JOURNALLED)

    def _tell(self, instance: Instance, reset: Reset) -> None:
        """Say that it is set: what the tenant has to use from now on."""
        w = self._work
        body = self._of(reset).applied(instance, reset)
        w.on_step(steps.RESET_APPLIED_SENT)
        try:
            answer = w.api.report_reset(
                instance.contract, reset.subject, body, _key(reset, "applied")
            )
        except ApiProblem as error:
            if error.code not in {"credential_conflict", "reset_taken"}:
                raise
            self._claim(instance, reset)
            return
        w.on_step(steps.RESET_APPLIED_ANSWERED)
        if answer.state not in _OPEN:
            self._end(instance, reset)
            return
        self._journal(instance, replace(reset, phase=P.TOLD, unsure=False))
        w.on_step(steps.RESET_APPLIED_ACKNOWLEDGED)

    def _prove(self, instance: Instance, reset: Reset) -> None:
        """See that the machine takes it; where it does not, look again, and then begin anew."""
        w = self._work
        renewal = self._of(reset)
        w.on_step(steps.LOGIN_CALLED)
        shown = renewal.prove(instance, reset)
        w.on_step(steps.LOGIN_ANSWERED)
        if shown:
            self._journal(instance, replace(reset, phase=P.VERIFIED))
            w.on_step(steps.LOGIN_JOURNALLED)
        elif reset.refusals + 1 < MAX_REFUSALS:
            refused = replace(reset, refusals=reset.refusals + 1)
            w.wait(replace(instance, reset=refused), LOOK_AGAIN_MS)
        else:
            self._claim(instance, replace(reset, detail=renewal.unproven_detail))

    def _tell_verified(self, instance: Instance, reset: Reset) -> None:
        body = ResetVerified(scope=instance.scope, reset=reset.id, n=reset.n)
        self._tell_end(instance, reset, body)

    def _tell_failed(self, instance: Instance, reset: Reset) -> None:
        body = ResetGivenUp(
            scope=instance.scope,
            reset=reset.id,
            failure=ResetFailure(reset.failure),
            detail=reset.detail,
        )
        self._tell_end(instance, reset, body)

    def _tell_end(
        self, instance: Instance, reset: Reset, body: ResetVerified | ResetGivenUp
    ) -> None:
        w = self._work
        w.on_step(steps.RESET_END_SENT)
        try:
            w.api.report_reset(instance.contract, reset.subject, body, _key(reset, "end"))
        except ApiProblem as error:
            if error.code != "reset_taken":  # another agent of this backend has it now
                raise
        w.on_step(steps.RESET_END_ANSWERED)
        self._end(instance, reset)
        w.on_step(steps.RESET_END_ACKNOWLEDGED)

    def _give_up(self, instance: Instance, reset: Reset, why: GiveUp) -> None:
        w = self._work
        self.forget(instance.contract)
        told = f"no {_WORDS[reset.subject]}: {why.failure.value}: {why.detail}"
        w.alarm(f"reset:{instance.contract}", told)
        failed = replace(
            reset,
            phase=P.FAILED,
            candidate="",
            unsure=False,
            failure=why.failure.value,
            detail=why.detail[:MAX_DETAIL],
        )
        self._journal(instance, failed)

    def _end(self, instance: Instance, reset: Reset) -> None:
        w = self._work
        self.forget(instance.contract)
        w.move(replace(instance, reset=None, reset_done=reset.id), instance.stage)
        w.refetch()

    def _journal(self, instance: Instance, reset: Reset) -> Instance:
        return self._work.move(replace(instance, reset=reset), instance.stage)


def _key(reset: Reset, what: str) -> str:
    """Return the idempotency key of a report: the same one is taken in once."""
    return f"{reset.id.replace('.', '-')}-{reset.n}-{what}"

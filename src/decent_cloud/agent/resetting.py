"""New passwords for running machines: made, sealed, journalled sealed, set, told, and proven by a login.

The plaintext lives in this process's memory only. After a crash in between, the next secret with the next
number takes its place: in the end one secret works, and it is the newest that the tenant was sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from decent_cloud.agent import steps
from decent_cloud.agent.entering import Entering
from decent_cloud.agent.records import Instance, Reset, ResetPhase
from decent_cloud.agent.seal import PASSWORD_BYTES
from decent_cloud.agent.work import MAX_DETAIL, Work
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.statements import credential_to_wire
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.credentials import Subject, seal_credential
from decent_cloud.drivers.contract import AuthFailed, Rejected, Secret, TryLater
from decent_cloud.drivers.parts.guest_ssh import Entry
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ResetFailure, ResetState
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.resets import (
    PasswordApplied,
    PasswordClaimed,
    PasswordFailed,
    PasswordVerified,
)

MAX_ROUNDS = 5  # secrets that are made for one reset
MAX_REFUSALS = 3  # logins with one of them
LOOK_AGAIN_MS = 500
ALARM_NOT_ALLOWED = "reset_not_allowed"  # the provider must delegate it: decent agents approve
P = ResetPhase
_OPEN = frozenset({ResetState.REQUESTED, ResetState.CLAIMED, ResetState.APPLIED})


class Resetting:
    """One step a call; what it leaves in the journal says what the next one is."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._entering = Entering(work)
        self._secrets: dict[ContractId, tuple[int, Secret]] = {}
        self._phases: dict[ResetPhase, Callable[[Instance, Reset], None]] = {
            P.CLAIMED: self._seal,
            P.SEALED: self._apply,
            P.CALLED: self._apply,
            P.APPLIED: self._tell,
            P.TOLD: self._verify,
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
        if reset is None:
            self._claim(instance, Reset(asked, P.CLAIMED, rounds=0))
        elif asked and asked != reset.id and reset.phase is not P.APPLIED:
            # The platform ended ours and wants another one: its secret takes the place of ours.
            self._claim(instance, Reset(asked, P.CLAIMED, reset.n, rounds=0, unsure=reset.unsure))
        elif not asked and reset.phase in {P.CLAIMED, P.SEALED} and not reset.unsure:
            self._end(instance, reset.id)
        elif reset.phase in {P.SEALED, P.CALLED, P.TOLD} and self._secret(contract, reset) is None:
            self._claim(instance, reset)
        else:
            self._phases[reset.phase](instance, reset)

    def forget(self, contract: ContractId) -> None:
        """Drop the plaintext: it is not needed, or must not be used any more."""
        self._secrets.pop(contract, None)

    def _secret(self, contract: ContractId, reset: Reset) -> Secret | None:
        n, secret = self._secrets.get(contract, (0, Secret("")))
        return secret if n == reset.n != 0 else None

    def _claim(self, instance: Instance, reset: Reset) -> None:
        """Take the reset on, or go on with another secret; the answer says which number that gets."""
        w = self._work
        self.forget(instance.contract)
        w.on_step(steps.RESET_CLAIM_ASKED)
        body = PasswordClaimed(scope=instance.scope, reset=reset.id)
        try:
            answer = w.api.report_password(instance.contract, body)
        except ApiProblem as error:
            if error.code == "agent_not_allowed":
                w.alarm(ALARM_NOT_ALLOWED, error.message)
            raise
        w.on_step(steps.RESET_CLAIM_ANSWERED)
        if answer.state not in _OPEN and not reset.unsure:
            self._end(instance, reset.id)
            return
        claimed = Reset(
            answer.id,
            P.CLAIMED,
            n=max(answer.next_n, reset.n + 1),
            rounds=reset.rounds + 1,
            unsure=reset.unsure,
        )
        if claimed.rounds > MAX_ROUNDS and not claimed.unsure:
            self._give_up(instance, claimed, ResetFailure.LOGIN_REFUSED, reset.detail)
            return
        self._journal(instance, claimed)
        w.on_step(steps.RESET_CLAIM_JOURNALLED)

    def _seal(self, instance: Instance, reset: Reset) -> None:
        """Make the secret, and journal nothing of it but what the tenant alone can open."""
        w = self._work
        why = self._entering.cannot_set(instance)
        if why:
            self._give_up(instance, reset, ResetFailure.NO_ABILITY, why)
            return
        secret = Secret(secrets.token_urlsafe(PASSWORD_BYTES))
        sealed = replace(reset, phase=P.SEALED, candidate=self._sealed(instance, reset.n, secret))
        self._secrets[instance.contract] = (reset.n, secret)
        self._journal(instance, sealed)
        w.on_step(steps.RESET_SEALED_JOURNALLED)

    def _sealed(self, instance: Instance, n: int, secret: Secret) -> str:
        w = self._work
        want = w.desired.want(instance.contract)
        if want is None:
            raise TryLater("the contract is not at hand; waiting for the platform", after_s=1)
        door = self._entering.door(instance)
        access = Access(
            host=door.host,
            port=door.port,
            user=self._entering.user(instance),
            host_keys=(door.host_key,),
            password=secret.reveal(),
        )
        subject = Subject(want.tenant, w.provider, want.digest, n)
        chain = w.orders.chain(want.tenant)
        sealed = seal_credential(subject, access, w.keys, chain.generation)
        return codec.to_json(credential_to_wire(sealed)).decode()

    def _apply(self, instance: Instance, reset: Reset) -> None:
        """Set the password. From the call on, the work goes on until the tenant has what works."""
        w = self._work
        secret = self._secret(instance.contract, reset)
        if secret is None:
            raise TryLater("the secret is gone")
        called = replace(reset, phase=P.CALLED, unsure=True)
        instance = self._journal(instance, called)
        w.on_step(steps.RESET_CALL_JOURNALLED)
        w.on_step(steps.RESET_CALLED)
        try:
            works = self._entering.set_password(instance, secret)
        except Rejected as error:
            self._give_up(instance, called, ResetFailure.REJECTED, error.message)
            return
        except AuthFailed as error:
            if reset.unsure:
                raise  # an earlier call may have set a password that nobody has
            self._give_up(instance, called, ResetFailure.AUTH_FAILED, error.message)
            return
        w.on_step(steps.RESET_ANSWERED)
        if works != secret:  # some vendors choose the password themselves
            candidate = self._sealed(instance, reset.n, works)
            called = replace(called, candidate=candidate)
            self._secrets[instance.contract] = (reset.n, works)
        self._journal(instance, replace(called, phase=P.APPLIED))
        w.on_step(steps.RESET_APPLIED_JOURNALLED)

    def _tell(self, instance: Instance, reset: Reset) -> None:
        """Send the sealed secret: the tenant's newest from now on."""
        w = self._work
        body = PasswordApplied(
            scope=instance.scope,
            reset=reset.id,
            credential=codec.from_json(reset.candidate, CredentialWire),
        )
        w.on_step(steps.RESET_APPLIED_SENT)
        try:
            answer = w.api.report_password(instance.contract, body, _key(reset, "applied"))
        except ApiProblem as error:
            if error.code not in {"credential_conflict", "reset_taken"}:
                raise
            self._claim(instance, reset)
            return
        w.on_step(steps.RESET_APPLIED_ANSWERED)
        if answer.state not in _OPEN:
            self._end(instance, reset.id)
            return
        self._journal(instance, replace(reset, phase=P.TOLD, unsure=False))
        w.on_step(steps.RESET_APPLIED_ACKNOWLEDGED)

    def _verify(self, instance: Instance, reset: Reset) -> None:
        """Log in with the new secret, as the tenant will."""
        w = self._work
        secret = self._secret(instance.contract, reset)
        if secret is None:
            raise TryLater("the secret is gone")
        w.on_step(steps.LOGIN_CALLED)
        entry = self._entering.enter(instance, secret)
        w.on_step(steps.LOGIN_ANSWERED)
        if entry is Entry.OPEN:
            self._journal(instance, replace(reset, phase=P.VERIFIED))
            w.on_step(steps.LOGIN_JOURNALLED)
        elif entry is not Entry.REFUSED:
            raise TryLater(f"the machine could not be entered: {entry.value}")
        elif reset.refusals + 1 < MAX_REFUSALS:
            refused = replace(reset, refusals=reset.refusals + 1)
            w.wait(replace(instance, reset=refused), LOOK_AGAIN_MS)
        else:
            detail = "the machine refuses the password that its backend says it has"
            self._claim(instance, replace(reset, detail=detail))

    def _tell_verified(self, instance: Instance, reset: Reset) -> None:
        body = PasswordVerified(scope=instance.scope, reset=reset.id, n=reset.n)
        self._tell_end(instance, reset, body)

    def _tell_failed(self, instance: Instance, reset: Reset) -> None:
        body = PasswordFailed(
            scope=instance.scope,
            reset=reset.id,
            failure=ResetFailure(reset.failure),
            detail=reset.detail,
        )
        self._tell_end(instance, reset, body)

    def _tell_end(
        self, instance: Instance, reset: Reset, body: PasswordVerified | PasswordFailed
    ) -> None:
        w = self._work
        w.on_step(steps.RESET_END_SENT)
        try:
            w.api.report_password(instance.contract, body, _key(reset, "end"))
        except ApiProblem as error:
            if error.code != "reset_taken":  # another agent of this backend has it now
                raise
        w.on_step(steps.RESET_END_ANSWERED)
        self._end(instance, reset.id)
        w.on_step(steps.RESET_END_ACKNOWLEDGED)

    def _give_up(
        self, instance: Instance, reset: Reset, failure: ResetFailure, detail: str
    ) -> None:
        w = self._work
        self.forget(instance.contract)
        w.alarm(f"reset:{instance.contract}", f"no new password: {failure.value}: {detail}")
        failed = replace(
            reset,
            phase=P.FAILED,
            candidate="",
            unsure=False,
            failure=failure.value,
            detail=detail[:MAX_DETAIL],
        )
        self._journal(instance, failed)

    def _end(self, instance: Instance, reset: str) -> None:
        w = self._work
        self.forget(instance.contract)
        w.move(replace(instance, reset=None, reset_done=reset), instance.stage)
        w.refetch()

    def _journal(self, instance: Instance, reset: Reset) -> Instance:
        return self._work.move(replace(instance, reset=reset), instance.stage)


def _key(reset: Reset, what: str) -> str:
    """Return the idempotency key of a report: the same one is taken in once."""
    return f"{reset.id.replace('.', '-')}-{reset.n}-{what}"

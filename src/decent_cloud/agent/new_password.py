"""A new password: made here, sealed to the tenant, known to this process's memory only."""

from __future__ import annotations

import secrets

from decent_cloud.agent.entering import Entering
from decent_cloud.agent.records import Instance, Reset
from decent_cloud.agent.renewal import GiveUp
from decent_cloud.agent.seal import PASSWORD_BYTES
from decent_cloud.agent.work import Work
from decent_cloud.client.statements import credential_to_wire
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.credentials import Subject, seal_credential
from decent_cloud.drivers.contract import Secret, TryLater
from decent_cloud.drivers.parts.guest_ssh import Entry
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ResetFailure
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.resets import PasswordApplied, ResetView


class NewPassword:
    """Keeps `Renewal`; `n` numbers the credential that the tenant gets."""

    must_finish = True
    unproven = ResetFailure.LOGIN_REFUSED
    unproven_detail = "the machine refuses the password that its backend says it has"

    def __init__(self, work: Work, entering: Entering) -> None:
        self._work = work
        self._entering = entering
        self._secrets: dict[ContractId, tuple[int, Secret]] = {}

    def number(self, answer: ResetView, reset: Reset) -> int:
        return max(answer.next_n, reset.n + 1)

    def prepare(self, instance: Instance, reset: Reset) -> tuple[Instance, Reset]:
        """Make the secret; the candidate is what the tenant alone can open."""
        why = self._entering.cannot_set(instance)
        if why:
            raise GiveUp(ResetFailure.NO_ABILITY, why)
        secret = Secret(secrets.token_urlsafe(PASSWORD_BYTES))
        candidate = self._sealed(instance, reset.n, secret)
        self._secrets[instance.contract] = (reset.n, secret)
        return instance, reset.with_candidate(candidate)

    def is_at_hand(self, contract: ContractId, reset: Reset) -> bool:
        n, _ = self._secrets.get(contract, (0, Secret("")))
        return n == reset.n != 0

    def apply(self, instance: Instance, reset: Reset) -> str:
        secret = self._secret(instance, reset)
        works = self._entering.set_password(instance, secret)
        if works == secret:
            return reset.candidate
        # Some vendors choose the password themselves.
        candidate = self._sealed(instance, reset.n, works)
        self._secrets[instance.contract] = (reset.n, works)
        return candidate

    def applied(self, instance: Instance, reset: Reset) -> PasswordApplied:
        credential = codec.from_json(reset.candidate, CredentialWire)
        return PasswordApplied(scope=instance.scope, reset=reset.id, credential=credential)

    def prove(self, instance: Instance, reset: Reset) -> bool:
        """Log in with the new secret, as the tenant will."""
        entry = self._entering.enter(instance, self._secret(instance, reset))
        if entry not in {Entry.OPEN, Entry.REFUSED}:
            raise TryLater(f"the machine could not be entered: {entry.value}")
        return entry is Entry.OPEN

    def forget(self, contract: ContractId) -> None:
        self._secrets.pop(contract, None)

    def _secret(self, instance: Instance, reset: Reset) -> Secret:
        if not self.is_at_hand(instance.contract, reset):
            raise TryLater("the secret is gone")
        return self._secrets[instance.contract][1]

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

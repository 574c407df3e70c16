"""New SSH keys: a list that the tenant signed, verified here, written as a whole, and read back."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.agent.entering import Entering
from decent_cloud.agent.orders import KeyListRefused
from decent_cloud.agent.records import Instance, KnownList, Reset
from decent_cloud.agent.renewal import GiveUp
from decent_cloud.agent.work import Work
from decent_cloud.drivers.contract import SshKey, TryLater
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ResetFailure
from decent_cloud.wire.v1.resets import KeysApplied, ResetView


class NewKeys:
    """Keeps `Renewal`; `n` numbers the list. The keys are public: the journal holds them whole."""

    must_finish = False
    unproven = ResetFailure.KEYS_DIFFER
    unproven_detail = "the machine takes other keys than those that were put in"

    def __init__(self, work: Work, entering: Entering) -> None:
        self._work = work
        self._entering = entering

    def number(self, answer: ResetView, reset: Reset) -> int:
        return answer.n

    def prepare(self, instance: Instance, reset: Reset) -> tuple[Instance, Reset]:
        """Verify the list against the tenant's own key chain; from now on no older one is taken."""
        why = self._entering.cannot_replace_keys(instance)
        if why:
            raise GiveUp(ResetFailure.NO_ABILITY, why)
        w = self._work
        assignment = w.desired.assignment(instance.contract)
        if assignment is None:
            raise TryLater("the contract is not at hand; waiting for the platform", after_s=1)
        try:
            wish = w.orders.key_list(assignment, instance.keys)
        except KeyListRefused as error:
            raise GiveUp(ResetFailure.LIST_REFUSED, error.message) from error
        if wish is None or wish.number != reset.n:
            w.refetch()
            raise TryLater(f"SSH key list {reset.n} is not at hand", after_s=1)
        lines = codec.to_json([key.line() for key in wish.keys]).decode()
        known = KnownList(wish.number, wish.digest)
        return replace(instance, keys=known), reset.with_candidate(lines)

    def is_at_hand(self, contract: ContractId, reset: Reset) -> bool:
        return True

    def apply(self, instance: Instance, reset: Reset) -> str:
        self._entering.replace_keys(instance, _keys(reset))
        return reset.candidate

    def applied(self, instance: Instance, reset: Reset) -> KeysApplied:
        return KeysApplied(scope=instance.scope, reset=reset.id, n=reset.n)

    def prove(self, instance: Instance, reset: Reset) -> bool:
        """Read the machine's keys again: just those, and none besides."""
        found = self._entering.read_keys(instance)
        return found == {key.line() for key in _keys(reset)}

    def forget(self, contract: ContractId) -> None:
        pass


def _keys(reset: Reset) -> tuple[SshKey, ...]:
    lines = codec.from_json(reset.candidate, tuple[str, ...])
    return tuple(SshKey.parse(line) for line in lines)

"""Machines that agents keep aside: what they cost, and what the platform and their provider say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decent_cloud.app.caller import Caller, require_reader
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.providers import own_provider, provider_of
from decent_cloud.domain.contracts import lifecycle
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.identity.providers import AgentHoldings, Aside, AsideDecision
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.errors import Conflict, NotFound
from decent_cloud.kernel.ids import AccountId, ContractId, Kid
from decent_cloud.kernel.status import AsideWord
from decent_cloud.wire.v1.agents import DecideAside, Heartbeat


class AsideInUse(Conflict):
    """This machine is the one that a living contract uses; it goes when the contract ends."""

    code = "aside_in_use"


@dataclass(frozen=True, slots=True)
class AsideRow:
    """One machine kept aside; `contract` is None where the platform knows none of that id."""

    agent: Kid
    aside: Aside
    word: AsideWord
    contract: Contract | None
    age_ms: int

    @property
    def cost_minor(self) -> int | None:
        """What the machine would have earned at its contract's price since it was first seen."""
        found = self.contract
        if found is None or found.hours <= 0:
            return None
        return found.total_minor * self.age_ms // (found.hours * HOUR_MS)


def keep(uow: UnitOfWork, provider: AccountId, agent: Kid, beat: Heartbeat, now_ms: int) -> None:
    """Store what a heartbeat says an agent has and keeps aside; words about what is gone are forgotten."""
    seen = beat.inventory
    asides = tuple(
        Aside(one.contract, one.instance, one.reason, one.first_seen_at_ms, one.state)
        for one in beat.asides
    )
    uow.providers.put_holdings(
        AgentHoldings(
            provider=provider,
            agent=agent,
            at_ms=now_ms,
            running=seen.running if seen else beat.instances,
            free=seen.free if seen and seen.free is not None else -1,
            driver_version=seen.driver_version if seen else "",
            host=seen.host if seen else "",
            asides=asides,
        )
    )
    here = {one.instance for one in asides}
    for decision in uow.providers.aside_decisions(provider, agent):
        if decision.instance not in here:
            uow.providers.drop_aside_decision(provider, agent, decision.instance)


def words(uow: UnitOfWork, provider: AccountId, agent: Kid, now_ms: int) -> tuple[AsideRow, ...]:
    """Return what is said of each machine that an agent keeps aside, in the agent's order.

    Its provider's word stands first. Without one, a machine is to be stopped that no living contract
    is behind; what may be another pool's is left to people.
    """
    found = uow.providers.holdings(provider, agent)
    if found is None or not found.asides:
        return ()
    ids = tuple(dict.fromkeys(ContractId(one.contract) for one in found.asides))
    contracts = {each.id: each for each in uow.contracts.many(ids)}
    said = {one.instance: one.word for one in uow.providers.aside_decisions(provider, agent)}
    return tuple(_row(agent, one, contracts, said, now_ms) for one in found.asides)


def _row(
    agent: Kid,
    aside: Aside,
    contracts: Mapping[ContractId, Contract],
    said: Mapping[str, AsideWord],
    now_ms: int,
) -> AsideRow:
    contract = contracts.get(ContractId(aside.contract))
    over = contract is None or contract.state in lifecycle.TERMINAL
    word = said.get(aside.instance, AsideWord.STOP if over else AsideWord.NONE)
    return AsideRow(agent, aside, word, contract, max(0, now_ms - aside.first_seen_ms))


def list_asides(
    uow: UnitOfWork, caller: Caller, provider: AccountId, now_ms: int
) -> tuple[AsideRow, ...]:
    """List what all agents of the caller's provider keep aside.

    Errors: NotAProvider, NotFound, DeviceOnly.
    """
    provider_of(uow, require_reader(caller), provider)
    agents = [one.agent for one in uow.providers.delegations(provider)]
    return tuple(row for agent in agents for row in words(uow, provider, agent, now_ms))


def decide(
    uow: UnitOfWork, caller: Caller, provider: AccountId, command: DecideAside, now_ms: int
) -> AsideRow:
    """Say what is to become of one machine; the agent deletes it only after its own grace period.

    Errors: NotFound for what no agent keeps aside, AsideInUse.
    """
    own_provider(uow, caller, provider)
    agent = Kid(command.agent)
    row = _find(uow, provider, agent, command.instance, now_ms)
    if command.word is AsideWord.DELETE and row.contract is not None:
        used = uow.assignments.get(row.contract.id)
        living = row.contract.state not in lifecycle.TERMINAL
        if living and used is not None and used.instance == command.instance:
            raise AsideInUse
    uow.providers.put_aside_decision(
        AsideDecision(provider, agent, command.instance, command.word, caller.kid, now_ms)
    )
    for delegation in uow.providers.delegations(provider):
        if delegation.agent == agent:
            data = {"instance": command.instance, "word": command.word.value}
            stream = f"pool/{delegation.pool}"
            uow.outbox.append(Event(stream, "aside", ContractId(row.aside.contract), data, now_ms))
    return _find(uow, provider, agent, command.instance, now_ms)


def _find(uow: UnitOfWork, provider: AccountId, agent: Kid, instance: str, now_ms: int) -> AsideRow:
    for row in words(uow, provider, agent, now_ms):
        if row.aside.instance == instance:
            return row
    raise NotFound("no agent of yours keeps this machine aside", field="instance")

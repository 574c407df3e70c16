"""A provider's own reset of one machine's password: begun here, done by the running agent, or by this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from decent_cloud.agent.daemon import Agent
from decent_cloud.agent.journal import Journal
from decent_cloud.agent.records import Instance, Stage
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.resets import ENDED
from decent_cloud.kernel.errors import NotFound, TryLater
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ResetSubject
from decent_cloud.wire.v1.resets import ResetClaimed, ResetView

LOOK_EVERY_S = 0.25
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class OneReset:
    """One contract's reset; `say` gets each step."""

    api: AgentApi
    journal: Journal
    contract: ContractId
    say: Callable[[str], None]

    def begin(self) -> ResetView:
        """Ask for it in the provider's name; one that is open already is taken up.

        Errors: NotFound for a machine that is not this agent's; ApiProblem.
        """
        body = ResetClaimed(scope=self._instance().scope)
        return self.api.report_reset(self.contract, ResetSubject.PASSWORD, body)

    def follow(self, begun: ResetView, wait_s: float) -> ResetView:
        """Wait until the running agent is done with it. Errors: TryLater."""
        end_s = time.monotonic() + wait_s
        while True:
            found = self._read(begun)
            if found.state in ENDED:
                return found
            if time.monotonic() > end_s:
                raise TryLater("the reset is still under way; the agent goes on with it")
            time.sleep(LOOK_EVERY_S)

    def do(self, agent: Agent, begun: ResetView, wait_s: float) -> ResetView:
        """Do the work in this process, for no agent runs here. Errors: TryLater; goes on at the next start."""
        end_s = time.monotonic() + wait_s
        agent.backend.try_out()
        agent.fetcher.fetch()
        while self._instance().reset_done != begun.id:
            due_ms = agent.actor.work(self.contract)
            if time.monotonic() > end_s:
                raise TryLater("the reset is still under way; it goes on when the agent runs")
            pause_s = (due_ms - agent.work.now_ms()) / 1_000
            time.sleep(min(max(pause_s, 0.05), _LONGEST_PAUSE_S))
            agent.fetcher.fetch()
        return self._read(begun)

    def _read(self, begun: ResetView) -> ResetView:
        for one in self.api.resets(self.contract).items:
            if one.id == begun.id:
                self.say(f"{one.id}: {one.state.value}")
                return one
        raise NotFound("the platform knows nothing of this reset any more")

    def _instance(self) -> Instance:
        found = self.journal.instance(self.contract)
        if found is None or found.stage is not Stage.BOUND:
            raise NotFound(
                "this agent has no running machine of that contract; see: dc-agent status",
                field="contract-id",
            )
        return found

"""A place on a market where one thing is tried: an agent of its own, with an offering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from decent_cloud.kernel.status import ResetState
from decent_cloud.wire.v1.offerings import OfferingView
from decent_cloud.wire.v1.resets import ResetsView, ResetView
from devtools.market import Market
from devtools.processes import AgentProgram, until

RESET_ENDED = frozenset({ResetState.VERIFIED, ResetState.FAILED, ResetState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Stall:
    """An agent with an offering on a market."""

    market: Market
    agent: AgentProgram
    offering: OfferingView

    @classmethod
    def open(cls, market: Market) -> Self:
        """Start a new agent and publish an offering of its pool."""
        agent = market.new_agent()
        agent.start()
        return cls(market, agent, market.offering())

    def rent(self) -> str:
        """Rent a machine and wait until it can be used."""
        ordered = self.market.tenant.rent(self.offering)
        self.market.wait_state(ordered.id, "active")
        return ordered.id

    def ended(self, asked: ResetView) -> ResetView:
        """Wait until a reset is over; fail if it is not the contract's newest."""

        def look() -> ResetView | None:
            path = f"/contracts/{asked.contract}/resets"
            found = self.market.tenant.api.get(path, ResetsView).items[-1]
            return found if found.id == asked.id and found.state in RESET_ENDED else None

        return until("the reset is over", look, 40)

"""Follows a contract step by step, each with the time it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status
from rich.text import Text

from decent_cloud.cli.output import Output, shown
from decent_cloud.client.contracts import ContractsApi
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import SECOND_MS, parse_rfc3339
from decent_cloud.kernel.errors import TryLater
from decent_cloud.kernel.status import ContractState
from decent_cloud.wire.v1.contracts import ContractEvent

ENDED = frozenset(
    {
        ContractState.COMPLETED,
        ContractState.CANCELLED,
        ContractState.REJECTED,
        ContractState.EXPIRED,
        ContractState.FAILED,
    }
)
BESIDE = ("reset_", "keys_")  # steps of resets leave the contract in its state
_WAITS = {
    ContractState.REQUESTED: "waiting for the payment",
    ContractState.PENDING: "waiting for the provider's yes",
    ContractState.ACCEPTED: "waiting for an agent",
    ContractState.PROVISIONING: "the agent makes the machine",
    ContractState.PROVISIONED: "checking that it answers from outside",
}


def follow(
    contracts: ContractsApi, contract: str, until: Callable[[ContractState], bool]
) -> Iterator[ContractEvent]:
    """Yield a contract's steps as they come, its present state first, up to one where `until` holds.

    Errors: ApiProblem where following cannot work.
    """
    stream = contracts.events(contract)
    last = None
    try:
        for one in stream:
            if one.event != "contract":
                continue
            step = codec.from_json(one.data, ContractEvent)
            # A stream that was made anew begins with the state that was shown already.
            beside = step.event.startswith(BESIDE)
            if beside or (step.state, step.at) != last:
                last = last if beside else (step.state, step.at)
                yield step
            if until(step.state):
                return
    finally:
        stream.close()
    raise TryLater("the platform ended the stream; see: decent contracts watch")


@dataclass(slots=True)
class Steps:
    """Prints the steps on stderr: as lines, and on a terminal with what is waited for."""

    out: Output
    began_ms: int = 0  # 0: the first step's time
    _status: Status | None = field(default=None)
    _console: Console | None = field(default=None)

    @contextmanager
    def shown(self) -> Iterator[Steps]:
        """Keep the last line moving while there is something to wait for."""
        if not self.out.live:
            yield self
            return
        self._console = Console(stderr=True, no_color=not self.out.color, highlight=False)
        with self._console.status("ordered") as self._status:
            yield self

    def step(self, found: ContractEvent) -> None:
        """Show one step."""
        at_ms = parse_rfc3339(found.at)
        self.began_ms = self.began_ms or at_ms
        spent_ms = max(0, at_ms - self.began_ms)
        reason = f"  {shown(found.reason)}" if found.reason else ""
        word = found.event if found.event.startswith(BESIDE) else found.state.value
        text = f"{spent_ms // SECOND_MS:>5}.{spent_ms % SECOND_MS // 10:02d} s  {word}{reason}"
        if self._console is None or self._status is None:
            self.out.say(text)
            return
        self._console.print(Text(text))
        self._status.update(_WAITS.get(found.state, found.state.value))

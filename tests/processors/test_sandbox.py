"""The fake processor keeps the port: idempotent by key, and broken in exactly the ways that tests ask for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from decent_cloud.adapters.processors.sandbox.cards import Card
from decent_cloud.adapters.processors.sandbox.processor import SandboxProcessor, SandboxRefused
from decent_cloud.adapters.processors.sandbox.world import Effect, Verb, World, break_next
from decent_cloud.app.ports.processors import Charge, ChargeState, SentState
from decent_cloud.kernel.errors import Conflict, TryLater
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import ServerMode

T = TypeVar("T")
TEN = Money(1_000, Asset.USD)
C = ChargeState


@dataclass
class Watch:
    now: int = 1_000

    def now_ms(self) -> int:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sandbox-processor.db"


def with_sandbox(
    path: Path, act: Callable[[SandboxProcessor, Watch], Awaitable[T]], watch: Watch | None = None
) -> T:
    """Open the world, do something, close it; what happened stays in the file."""
    clock = watch or Watch()

    async def run() -> T:
        processor = SandboxProcessor(path, ServerMode.DEVELOPMENT, clock)
        try:
            return await act(processor, clock)
        finally:
            await processor.close()

    return asyncio.run(run())


def charge(path: Path, card: str, *, key: str = "k", amount: Money = TEN) -> Charge:
    return with_sandbox(path, lambda p, _: p.charge(key, card, amount))


def test_it_refuses_to_exist_outside_development(path: Path) -> None:
    with pytest.raises(SandboxRefused, match="development mode only"):
        SandboxProcessor(path, ServerMode.PRODUCTION, Watch())
    assert not path.exists()


@pytest.mark.parametrize(
    ("card", "ages_and_states"),
    [
        (Card.OK, [(0, C.SUCCEEDED), (10**9, C.SUCCEEDED)]),
        (Card.DECLINED, [(0, C.FAILED), (10**9, C.FAILED)]),
        (Card.SLOW, [(0, C.PENDING), (2_999, C.PENDING), (3_000, C.SUCCEEDED)]),
        (Card.NEVER, [(0, C.PENDING), (10**9, C.PENDING)]),
        (Card.SHORT, [(0, C.SUCCEEDED)]),
        (Card.REFUND_FAILS, [(0, C.SUCCEEDED)]),
        (
            Card.DISPUTE_WON,
            [(0, C.SUCCEEDED), (3_000, C.DISPUTED), (11_000, C.DISPUTE_WON)],
        ),
        (
            Card.DISPUTE_LOST,
            [(0, C.SUCCEEDED), (3_000, C.DISPUTED), (11_000, C.DISPUTE_LOST)],
        ),
    ],
)
def test_each_card_does_what_its_name_says(
    path: Path, card: str, ages_and_states: list[tuple[int, ChargeState]]
) -> None:
    async def live(processor: SandboxProcessor, watch: Watch) -> list[ChargeState]:
        await processor.charge("k", card, TEN)
        states = []
        for age, _ in ages_and_states:
            watch.now = 1_000 + age
            found = await processor.read_charge("k")
            assert found is not None
            states.append(found.state)
        return states

    assert with_sandbox(path, live) == [state for _, state in ages_and_states]


def test_every_card_has_a_row_above() -> None:
    assert len(Card) == 8


def test_the_short_card_takes_less_than_asked(path: Path) -> None:
    assert charge(path, Card.SHORT).received == Money(900, Asset.USD)


def test_nothing_was_taken_while_pending_or_declined(path: Path) -> None:
    assert charge(path, Card.SLOW, key="a").received == Money(0, Asset.USD)
    declined = charge(path, Card.DECLINED, key="b")
    assert (declined.received.amount_minor, declined.detail) == (0, "the card was declined")


def test_an_unknown_card_is_declined_with_a_reason(path: Path) -> None:
    declined = charge(path, "4242")
    assert declined.state is C.FAILED
    assert declined.detail == "the sandbox has no such test card"


def test_the_same_key_charges_once_also_from_another_process(path: Path) -> None:
    first = charge(path, Card.OK)
    script = (
        "import asyncio, pathlib, sys\n"
        "from decent_cloud.adapters.processors.sandbox.processor import SandboxProcessor\n"
        "from decent_cloud.kernel.clock import SystemClock\n"
        "from decent_cloud.kernel.money import Asset, Money\n"
        "from decent_cloud.kernel.status import ServerMode\n"
        "async def run():\n"
        "    p = SandboxProcessor(pathlib.Path(sys.argv[1]), ServerMode.DEVELOPMENT, SystemClock())\n"
        "    print((await p.charge('k', 'test-ok', Money(1_000, Asset.USD))).external)\n"
        "    await p.close()\n"
        "asyncio.run(run())\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == first.external
    world = World(path)
    assert [stored.external for stored in world.charges()] == [first.external]
    world.close()


def test_a_key_stands_for_one_charge_only(path: Path) -> None:
    charge(path, Card.OK)
    with pytest.raises(Conflict):
        charge(path, Card.OK, amount=Money(999, Asset.USD))


def test_nothing_is_found_under_a_key_that_was_never_used(path: Path) -> None:
    assert with_sandbox(path, lambda p, _: p.read_charge("k")) is None
    assert with_sandbox(path, lambda p, _: p.read_refund("k")) is None


class TestRefund:
    def refunded(self, path: Path, *amounts: int, card: str = Card.OK) -> list[SentState]:
        async def run(processor: SandboxProcessor, _: Watch) -> list[SentState]:
            made = await processor.charge("k", card, TEN)
            return [
                (await processor.refund(f"r{n}", made.external, Money(a, Asset.USD))).state
                for n, a in enumerate(amounts)
            ]

        return with_sandbox(path, run)

    def test_parts_go_back_until_all_is_back(self, path: Path) -> None:
        assert self.refunded(path, 600, 400, 1) == [
            SentState.SUCCEEDED,
            SentState.SUCCEEDED,
            SentState.FAILED,
        ]

    def test_a_card_that_takes_no_refunds(self, path: Path) -> None:
        assert self.refunded(path, 600, card=Card.REFUND_FAILS) == [SentState.FAILED]

    def test_the_same_key_refunds_once(self, path: Path) -> None:
        async def run(processor: SandboxProcessor, _: Watch) -> bool:
            made = await processor.charge("k", Card.OK, TEN)
            first = await processor.refund("r", made.external, TEN)
            again = await processor.refund("r", made.external, TEN)
            return first == again == await processor.read_refund("r")

        assert with_sandbox(path, run)

    def test_there_is_nothing_to_refund_of_a_charge_that_never_was(self, path: Path) -> None:
        sent = with_sandbox(path, lambda p, _: p.refund("r", "sandbox_ch_none", TEN))
        assert (sent.state, sent.detail) == (SentState.FAILED, "there is no such charge")

    def test_a_key_stands_for_one_refund_only(self, path: Path) -> None:
        self.refunded(path, 600)
        with pytest.raises(Conflict):
            self.refunded(path, 500)


@pytest.mark.parametrize(
    ("effect", "written"), [(Effect.ANSWER_LOST, 1), (Effect.TIMEOUT, 0), (Effect.ERROR, 0)]
)
def test_a_fault_strikes_once_and_the_same_key_heals_it(
    path: Path, effect: Effect, written: int
) -> None:
    break_next(path, Verb.CHARGE, effect)
    with pytest.raises(TryLater):
        charge(path, Card.OK)
    world = World(path)
    assert len(world.charges()) == written
    charge(path, Card.OK)
    assert len(world.charges()) == 1
    world.close()


def test_a_fault_of_one_verb_spares_the_others(path: Path) -> None:
    break_next(path, Verb.REFUND, Effect.TIMEOUT, times=2)
    made = charge(path, Card.OK)
    for _ in range(2):
        with pytest.raises(TryLater):
            with_sandbox(path, lambda p, _: p.refund("r", made.external, TEN))
    sent = with_sandbox(path, lambda p, _: p.refund("r", made.external, TEN))
    assert sent.state is SentState.SUCCEEDED

"""Payouts by the procedure against a ledger, with faults, crashes and changes anywhere: none doubled, none lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decent_cloud.domain.payments.icrc1_procedure import NotPaid, Paid
from decent_cloud.domain.payments.token_ledgers import LedgerKind
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from tests.support.icp.network import Network, network
from tests.support.icp.payer import Crash, Payer
from tests.support.icp.replica import RAN_UNSEEN, Fault

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("DECENT_PAYOUT_RUNS", "250"))

CHANGES: dict[str, Callable[[Network], object]] = {
    "fee": lambda net: setattr(net.ledger, "fee", net.ledger.fee + 1),
    "fee back": lambda net: setattr(net.ledger, "fee", net.ledger.about.usual_fee_minor),
    "upgrade": lambda net: net.ledger.upgrade(),
    "others": lambda net: net.others_transfer(12),
    "archive": lambda net: _archive(net),
    "emptied": lambda net: net.ledger.holdings.update({net.rail.wallet: 0}),
    "filled": lambda net: net.ledger.holdings.update({net.rail.wallet: 10**10}),
    "dark": lambda net: setattr(net.replica, "dark", net.replica.dark + 6),
    "busy": lambda net: setattr(net.ledger, "busy", not net.ledger.busy),
    "5 minutes": lambda net: net.clock.forward_ms(5 * MINUTE_MS),
    "4 hours": lambda net: net.clock.forward_ms(4 * HOUR_MS),
    "18 hours": lambda net: net.clock.forward_ms(18 * HOUR_MS),
    "a day": lambda net: net.clock.forward_ms(DAY_MS),
}


def _archive(net: Network) -> None:
    if net.ledger.kind is not LedgerKind.DCT:
        done = net.canister.archives[-1].end if net.canister.archives else 0
        net.archive(len(net.ledger.blocks) - done, number=len(net.canister.archives) + 50)


@dataclass
class Story:
    """Faults of the coming transfers in order, crashes and changes at points counted from the start."""

    kind: LedgerKind
    faults: list[Fault]
    reads: list[Fault]
    crashes: set[int]
    changes: dict[int, str]
    points: int = 0

    def point(self, net: Network) -> None:
        """Pass a point between two effects: something changes, or the process dies."""
        self.points += 1
        if change := self.changes.get(self.points):
            CHANGES[change](net)
        if self.points in self.crashes:
            raise Crash

    def fault(self, method: str) -> Fault:
        faults = self.faults if method == "icrc1_transfer" else self.reads
        return faults.pop(0) if faults else Fault.NONE


STORIES = st.builds(
    Story,
    kind=st.sampled_from(list(LedgerKind)),
    # What ran unseen is where money is lost: most stories have some of it, early.
    faults=st.lists(st.sampled_from([*Fault, *sorted(RAN_UNSEEN) * 3]), max_size=6),
    reads=st.lists(st.sampled_from(list(Fault)), max_size=3),
    crashes=st.sets(st.integers(2, 20), max_size=4),
    changes=st.dictionaries(
        st.integers(3, 16),
        st.sampled_from([*sorted(CHANGES), "fee", "dark", "upgrade", "5 minutes"]),
        max_size=6,
    ),
)


def play(story: Story) -> tuple[Payer, Paid | NotPaid]:
    net = network(story.kind)
    net.replica.faults = story.fault
    payer = Payer(net, net.terms(), lambda _where: story.point(net))
    ended = payer.pay()
    # Whatever was still under way may arrive now.
    for _ in range(3):
        net.clock.forward_ms(10 * MINUTE_MS)
        net.replica.run_due()
    net.http.close()
    return payer, ended


@pytest.mark.timeout(1_800)
@settings(
    max_examples=RUNS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
@given(story=STORIES)
def test_no_payout_is_doubled_or_lost(story: Story) -> None:
    payer, ended = play(story)
    assert payer.net.paid(payer.terms) == isinstance(ended, Paid)
    sent = {attempt.request_id for attempt in payer.attempts.values()}
    seen = {request for method, request in payer.net.replica.seen if method == "icrc1_transfer"}
    assert seen <= sent, "something was sent that was not stored"


@pytest.mark.parametrize("kind", list(LedgerKind))
@pytest.mark.parametrize("fault", sorted(RAN_UNSEEN))
@pytest.mark.parametrize("change", ["fee", "emptied", "upgrade", "a day"])
def test_a_payout_that_went_unseen_is_found_whatever_changed(
    kind: LedgerKind, fault: Fault, change: str
) -> None:
    # The fourth point lies between the first sending and the storing of its outcome.
    payer, ended = play(Story(kind, [fault], [], {4}, {4: change, 5: "dark"}))
    # Only what runs later can still be refused for what has changed by then.
    assert isinstance(ended, Paid) or fault is Fault.DELAYED
    assert payer.net.paid(payer.terms) == isinstance(ended, Paid)


@pytest.mark.parametrize("kind", list(LedgerKind))
def test_a_platform_down_for_two_days_after_sending_still_knows(kind: LedgerKind) -> None:
    payer, ended = play(Story(kind, [Fault.LOST_AFTER], [], {4}, {4: "a day", 5: "a day"}))
    assert isinstance(ended, Paid)
    assert payer.net.paid(payer.terms) == 1


@pytest.mark.parametrize("kind", list(LedgerKind))
def test_a_network_down_for_more_than_a_day_ends_in_not_paid(kind: LedgerKind) -> None:
    net = network(kind)
    until_ms = net.clock.now_ms() + 26 * HOUR_MS

    def down(_method: str) -> Fault:
        return Fault.LOST_BEFORE if net.clock.now_ms() < until_ms else Fault.NONE

    net.replica.faults = down
    payer = Payer(net, net.terms(), lambda _where: net.clock.forward_ms(3 * MINUTE_MS))
    payer.first_block, payer.argument = 1, net.rail.argument(payer.terms)
    assert payer.pay(5_000) == NotPaid("not in the ledger's log")
    assert net.paid(payer.terms) == 0
    # The DCT ledger forgets: nothing is sent again before its log was read.
    assert len(payer.attempts) == 1 if kind is LedgerKind.DCT else len(payer.attempts) > 20
    net.http.close()


def test_a_look_at_the_log_from_before_the_last_attempt_is_too_old_to_send_again() -> None:
    # The first attempt never ran and was looked for; the second ran unseen, then the ledger forgot it.
    faults = [Fault.REJECTED_BEFORE, Fault.REJECTED_AFTER]
    payer, ended = play(Story(LedgerKind.DCT, faults, [], set(), {10: "upgrade"}))
    assert isinstance(ended, Paid)
    assert (payer.net.paid(payer.terms), len(payer.attempts)) == (1, 2)
    assert payer.steps.count("ScanLog") == 2

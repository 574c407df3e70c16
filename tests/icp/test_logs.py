"""Ledgers' logs: read whole, archives only where the ledger itself lists them, gaps noticed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from decent_cloud.adapters.icp.errors import LogIncomplete, ReplyUnreadable
from decent_cloud.adapters.icp.rail import PAGE
from decent_cloud.app.ports.token_ledgers import TokenRail
from decent_cloud.domain.payments.icrc1_accounts import Icrc1Account
from decent_cloud.domain.payments.icrc1_transfer import OutcomeKind
from decent_cloud.domain.payments.token_ledgers import LedgerKind
from tests.support.icp.ledger import MINTER
from tests.support.icp.network import Network, archive_id, network, network_on_loopback

pytestmark = pytest.mark.slow

STRANGER = Icrc1Account(b"stranger")
DFINITY = [LedgerKind.ICRC, LedgerKind.ICP]


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Network]:
    made = network(request.param)
    yield made
    made.http.close()


def minted(net: Network, count: int) -> None:
    for number in range(count):
        net.ledger.mint(STRANGER, 1_000 + number, net.clock.now_ns)


@pytest.mark.parametrize("net", list(LedgerKind), indirect=True)
def test_a_log_of_several_pages_is_read_whole(net: Network) -> None:
    minted(net, PAGE + 130)
    rail: TokenRail = net.rail
    first = net.ledger.first_number
    found = rail.entries(first, PAGE + 131)
    amounts = [entry.amount_minor for entry in found if entry.payee == STRANGER.identifier()]
    assert sorted(set(amounts)) == [1_000 + number for number in range(PAGE + 130)]
    assert rail.log_length() == PAGE + 131 + first


@pytest.mark.parametrize("net", DFINITY, indirect=True)
def test_several_archives_and_the_ledger_make_one_log(net: Network) -> None:
    minted(net, 40)
    archives = [net.archive(10, 1), net.archive(15, 2)]
    found = net.rail.entries(0, 41)
    assert [entry.index for entry in found] == list(range(41))
    assert [entry.amount_minor for entry in found[1:]] == [1_000 + n for n in range(40)]
    assert all(archive.asked for archive in archives)
    assert [entry.index for entry in net.rail.entries(8, 4)] == [8, 9, 10, 11]


@pytest.mark.parametrize("net", DFINITY, indirect=True)
def test_an_archive_that_the_ledger_does_not_list_is_not_asked(net: Network) -> None:
    minted(net, 20)
    archive = net.archive(10)
    net.canister.listed = [archive_id(99)]
    with pytest.raises(LogIncomplete, match="does not list"):
        net.rail.entries(0, 5)
    assert archive.asked == 0
    net.canister.listed = None
    assert len(net.rail.entries(0, 5)) == 5


@pytest.mark.parametrize("net", DFINITY, indirect=True)
def test_an_archive_that_keeps_blocks_back_leaves_a_gap_that_is_noticed(net: Network) -> None:
    minted(net, 20)
    archive = net.archive(10)
    archive.end = 6
    net.canister.archives[-1].end = 6
    archive.start = 3
    with pytest.raises(LogIncomplete):
        net.rail.entries(0, 20)
    with pytest.raises(LogIncomplete):
        net.rail.scan(net.terms(), 0, net.clock.now_ms())


@pytest.mark.parametrize("net", DFINITY, indirect=True)
def test_approvals_move_nothing_and_leave_no_gap(net: Network) -> None:
    net.others_transfer(3)
    net.others_transfer(2)
    found = net.rail.entries(0, 20)
    assert [entry.index for entry in found] == [0, 1, 2, 3, 5, 6]


@pytest.mark.parametrize("net", list(LedgerKind), indirect=True)
def test_mints_and_burns_have_one_side(net: Network) -> None:
    argument = net.rail.argument(
        net.terms().__class__(net.rail.wallet, MINTER, 10**7, 0, b"m", net.clock.now_ns)
    )
    burnt = net.rail.send(net.rail.attempt(argument, 1, b"1", net.clock.now_ms()))
    assert burnt.kind is OutcomeKind.OK
    assert burnt.block is not None
    (mint,) = net.rail.entries(net.ledger.first_number, 1)
    (burn,) = net.rail.entries(burnt.block, 1)
    assert (mint.payer, mint.payee) == (None, net.rail.wallet.identifier())
    assert (burn.payer, burn.payee) == (net.rail.wallet.identifier(), None)


@pytest.mark.parametrize("net", list(LedgerKind), indirect=True)
def test_an_answer_in_another_shape_is_no_answer(net: Network) -> None:
    class Mumbling:
        def update(self, caller: bytes, method: str, argument: bytes, at_ns: int) -> bytes:
            return b"DIDL\x00\x01\x7e\x01"

    net.replica.canisters[net.rail.ledger.canister] = Mumbling()
    with pytest.raises(ReplyUnreadable):
        net.rail.fee_minor()
    with pytest.raises(ReplyUnreadable):
        net.rail.entries(0, 1)
    sent = net.rail.send(net.rail.attempt(b"", 1, b"1", net.clock.now_ms()))
    assert sent.kind is OutcomeKind.UNVERIFIABLE


@pytest.mark.parametrize("kind", list(LedgerKind))
def test_five_at_once_are_one_payment(kind: LedgerKind) -> None:
    with network_on_loopback(kind) as net:
        terms = net.terms()
        argument, now_ms = net.rail.argument(terms), net.clock.now_ms()
        attempts = [net.rail.attempt(argument, n, b"%d" % n, now_ms) for n in range(5)]
        with ThreadPoolExecutor(5) as threads:
            outcomes = list(threads.map(net.rail.send, attempts))
        kinds = sorted(outcome.kind for outcome in outcomes)
        assert kinds == [OutcomeKind.DUPLICATE] * 4 + [OutcomeKind.OK]
        assert len({outcome.block for outcome in outcomes}) == 1
        assert net.paid(terms) == 1

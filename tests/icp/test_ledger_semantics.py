"""What ledgers do, as measured on the real ones: the conformance suite that any ledger behind the client must pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from decent_cloud.domain.payments.icrc1_accounts import NO_SUBACCOUNT
from decent_cloud.domain.payments.icrc1_transfer import Outcome, OutcomeKind, TransferTerms
from decent_cloud.domain.payments.token_ledgers import LedgerKind
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from tests.support.icp.ledger import INTERFACES, MINTER
from tests.support.icp.network import FUNDS, Network, network

pytestmark = pytest.mark.slow

K = OutcomeKind
KINDS = list(LedgerKind)
DFINITY = [LedgerKind.ICRC, LedgerKind.ICP]


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Network]:
    made = network(request.param)
    yield made
    made.http.close()


def send(net: Network, argument: bytes) -> Outcome:
    nonce = len(net.replica.seen).to_bytes(8, "big")
    return net.rail.send(net.rail.attempt(argument, 1, nonce, net.clock.now_ms()))


def transfer(net: Network, terms: TransferTerms) -> Outcome:
    return send(net, net.rail.argument(terms))


def encoded(net: Network, terms: TransferTerms, **changes: object) -> bytes:
    """Encode a transfer with some arguments given in another way than ours."""
    fields: dict[str, object] = {
        "from_subaccount": [terms.payer.subaccount],
        "to": {"owner": terms.payee.owner, "subaccount": [terms.payee.subaccount]},
        "amount": terms.amount_minor,
        "fee": [terms.fee_minor],
        "memo": [terms.memo],
        "created_at_time": [terms.created_at_ns],
    }
    return INTERFACES[net.ledger.kind]["icrc1_transfer"].encode(fields | changes)


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_a_transfer_moves_amount_and_fee_once(net: Network) -> None:
    terms = net.terms()
    outcome = transfer(net, terms)
    assert outcome == Outcome(K.OK, block=len(net.ledger.blocks) - 1 + net.ledger.first_number)
    assert net.rail.balance_minor() == FUNDS - terms.amount_minor - terms.fee_minor
    assert net.ledger.holdings[terms.payee] == terms.amount_minor


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_the_same_again_is_a_duplicate_of_the_first(net: Network) -> None:
    terms = net.terms()
    first = transfer(net, terms)
    net.others_transfer(3)
    for _ in range(4):
        assert transfer(net, terms) == Outcome(K.DUPLICATE, block=first.block)
    assert net.paid(terms) == 1


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_another_memo_or_time_is_another_transfer(net: Network) -> None:
    terms = net.terms()
    assert transfer(net, terms).kind is K.OK
    assert transfer(net, replace(terms, memo=b"another")).kind is K.OK
    assert transfer(net, replace(terms, created_at_ns=terms.created_at_ns + 1)).kind is K.OK


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_without_a_creation_time_it_pays_twice(net: Network) -> None:
    argument = encoded(net, net.terms(), created_at_time=[])
    assert [send(net, argument).kind for _ in range(2)] == [K.OK, K.OK]


@pytest.mark.parametrize(
    ("net", "same"),
    [(LedgerKind.ICRC, False), (LedgerKind.ICP, True), (LedgerKind.DCT, True)],
    indirect=["net"],
)
@pytest.mark.parametrize("change", ["fee", "from", "to"])
def test_leaving_out_a_default_is_the_same_transfer_or_not(
    net: Network, same: bool, change: str
) -> None:
    terms = net.terms()
    other: dict[str, dict[str, object]] = {
        "fee": {"fee": []},
        "from": {"from_subaccount": []},
        "to": {"to": {"owner": terms.payee.owner, "subaccount": []}},
    }
    assert transfer(net, terms).kind is K.OK
    again = send(net, encoded(net, terms, **other[change]))
    assert again.kind is (K.DUPLICATE if same else K.OK)


@pytest.mark.parametrize(
    ("net", "window_ms", "ahead_ms"),
    [
        (LedgerKind.ICRC, DAY_MS, MINUTE_MS),
        (LedgerKind.ICP, DAY_MS, MINUTE_MS),
        (LedgerKind.DCT, DAY_MS + 2 * MINUTE_MS, 2 * MINUTE_MS),
    ],
    indirect=["net"],
)
def test_too_old_and_too_far_ahead(net: Network, window_ms: int, ahead_ms: int) -> None:
    now = net.clock.now_ns + net.replica.latency_ms * 1_000_000
    at = {
        "oldest": now - window_ms * 1_000_000,
        "newest": now + ahead_ms * 1_000_000,
    }
    too_old = replace(net.terms(), created_at_ns=at["oldest"] - 1)
    assert transfer(net, too_old).kind is K.TOO_OLD
    net.clock.at_ms -= net.replica.latency_ms
    assert transfer(net, replace(too_old, created_at_ns=at["oldest"])).kind is K.OK
    net.clock.at_ms -= net.replica.latency_ms
    ahead = transfer(net, replace(too_old, created_at_ns=at["newest"] + 1))
    assert ahead.kind is K.CREATED_IN_FUTURE
    assert str(now) in ahead.detail
    net.clock.at_ms -= net.replica.latency_ms
    assert transfer(net, replace(too_old, created_at_ns=at["newest"])).kind is K.OK


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_a_new_fee_hides_a_paid_transfer_and_a_corrected_one_pays_twice(net: Network) -> None:
    terms = net.terms()
    assert transfer(net, terms).kind is K.OK
    net.ledger.fee += 5
    assert transfer(net, terms) == Outcome(K.BAD_FEE, amount_minor=net.ledger.fee)
    assert transfer(net, replace(terms, fee_minor=net.ledger.fee)).kind is K.OK
    assert net.paid(terms) == 2


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (LedgerKind.ICRC, K.DUPLICATE),
        (LedgerKind.ICP, K.DUPLICATE),
        (LedgerKind.DCT, K.INSUFFICIENT_FUNDS),
    ],
    indirect=["net"],
)
def test_an_emptied_wallet_hides_a_paid_transfer_on_one_ledger_only(net: Network, said: K) -> None:
    terms = net.terms()
    assert transfer(net, terms).kind is K.OK
    net.ledger.holdings[net.rail.wallet] = 0
    assert transfer(net, terms).kind is said


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_funds_must_cover_amount_and_fee(net: Network) -> None:
    net.ledger.holdings[net.rail.wallet] = 250_000 + net.ledger.fee - 1
    refused = Outcome(K.INSUFFICIENT_FUNDS, amount_minor=250_000 + net.ledger.fee - 1)
    assert transfer(net, net.terms()) == refused
    net.ledger.holdings[net.rail.wallet] += 1
    assert transfer(net, net.terms()).kind is K.OK


@pytest.mark.parametrize(
    ("net", "kept"),
    [(LedgerKind.ICRC, True), (LedgerKind.ICP, True), (LedgerKind.DCT, False)],
    indirect=["net"],
)
def test_an_upgrade_is_survived_or_not(net: Network, kept: bool) -> None:
    terms = net.terms()
    assert transfer(net, terms).kind is K.OK
    net.ledger.upgrade()
    assert transfer(net, terms).kind is (K.DUPLICATE if kept else K.OK)


@pytest.mark.parametrize("net", DFINITY, indirect=True)
def test_archiving_does_not_forget(net: Network) -> None:
    terms = net.terms()
    first = transfer(net, terms)
    net.archive(2)
    assert transfer(net, terms) == Outcome(K.DUPLICATE, block=first.block)


def test_the_dct_ledger_sweeps_its_memory_before_its_window_ends() -> None:
    net = network(LedgerKind.DCT)
    terms = net.terms()
    assert transfer(net, terms).kind is K.OK
    net.clock.forward_ms(DAY_MS + MINUTE_MS)
    assert transfer(net, terms).kind is K.OK
    assert net.paid(terms) == 2


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_a_long_memo_traps(net: Network) -> None:
    assert transfer(net, replace(net.terms(), memo=bytes(32))).kind is K.OK
    outcome = transfer(net, replace(net.terms(), memo=bytes(33)))
    assert outcome.kind is K.REJECTED
    assert outcome.detail.startswith("reject 5:")


def test_a_ledger_may_allow_longer_memos() -> None:
    net = network(LedgerKind.ICRC)
    net.ledger.longest_memo = 80
    assert transfer(net, replace(net.terms(), memo=bytes(80))).kind is K.OK


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_a_subaccount_of_another_length_traps(net: Network) -> None:
    terms = net.terms()
    bad = {"owner": terms.payee.owner, "subaccount": [bytes(31)]}
    assert send(net, encoded(net, terms, to=bad)).kind is K.REJECTED
    assert net.paid(terms) == 0


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_a_burn_below_the_fee_is_refused(net: Network) -> None:
    terms = replace(net.terms(), payee=MINTER, fee_minor=0, amount_minor=net.ledger.fee - 1)
    assert transfer(net, terms) == Outcome(K.BAD_BURN, amount_minor=net.ledger.fee)


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_a_busy_ledger_says_so(net: Network) -> None:
    net.ledger.busy = True
    assert transfer(net, net.terms()).kind is K.TEMPORARILY_UNAVAILABLE


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_the_log_shows_the_transfer_and_perhaps_its_memo(net: Network) -> None:
    terms = net.terms()
    outcome = transfer(net, terms)
    net.others_transfer(2)
    assert outcome.block is not None
    (entry,) = net.rail.entries(outcome.block, 1)
    assert (entry.payer, entry.payee) == (net.rail.wallet.identifier(), terms.payee.identifier())
    assert (entry.amount_minor, entry.fee_minor) == (terms.amount_minor, terms.fee_minor)
    assert entry.created_at_ns == terms.created_at_ns
    assert entry.memo == (terms.memo if net.ledger.kind.shows_memo else None)
    assert net.rail.find(terms, outcome.block)


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_the_ledger_tells_its_fee_decimals_and_minting_account(net: Network) -> None:
    assert net.rail.fee_minor() == net.ledger.fee == net.rail.ledger.usual_fee_minor
    assert net.rail.decimals() == net.rail.ledger.decimals
    assert net.rail.minting_account() == MINTER
    assert net.rail.wallet.subaccount == NO_SUBACCOUNT


@pytest.mark.parametrize("net", DFINITY, indirect=True)
def test_a_lost_transfer_is_found_in_the_archive_after_many_others(net: Network) -> None:
    terms, before = net.terms(), net.rail.log_length()
    transfer(net, terms)
    net.others_transfer(25)
    archive = net.archive(10)
    net.clock.forward_ms(HOUR_MS)
    scan = net.rail.scan(terms, before, net.clock.now_ms())
    assert (scan.found, archive.asked) == (before, 1)


@pytest.mark.parametrize("net", KINDS, indirect=True)
def test_what_never_happened_is_not_found_up_to_the_end_of_the_log(net: Network) -> None:
    terms, before = net.terms(), net.rail.log_length()
    net.others_transfer(25)
    net.clock.forward_ms(MINUTE_MS)
    sent = net.clock.now_ns
    scan = net.rail.scan(terms, before, net.clock.now_ms())
    assert scan.found is None
    assert scan.log_length == len(net.ledger.blocks) + net.ledger.first_number
    assert scan.newest_at_ns == net.ledger.blocks[-1].at_ns
    assert sent - 3 * MINUTE_MS * 1_000_000 < scan.as_of_ns < sent + SECOND_MS * 1_000_000


@pytest.mark.parametrize("drift", [0, 1, 7, 200])
def test_the_dct_log_is_read_without_a_gap_though_its_two_parts_count_differently(
    drift: int,
) -> None:
    net = network(LedgerKind.DCT)
    net.ledger.drift, net.canister.recent = drift, 4
    every = []
    for number in range(10):
        net.clock.forward_ms(2 * MINUTE_MS)
        terms = replace(net.terms(), created_at_ns=net.clock.now_ns + number)
        every.append(terms)
        transfer(net, terms)
    for number, terms in list(enumerate(every, 2 + drift))[::3]:
        assert net.rail.scan(terms, 0, 0).found is not None
        assert net.rail.scan(terms, number, 0).found is not None
        assert net.rail.find(terms, number)

"""The chart of accounts, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.ledger import accounts, postings
from decent_cloud.domain.ledger.accounts import CHART, PAIRS, AccountKind, TransferKind
from decent_cloud.domain.ledger.errors import IllegalPosting
from decent_cloud.domain.ledger.postings import Booking
from decent_cloud.domain.ledger.transfers import Side, Transfer
from decent_cloud.kernel.ids import AccountId, TermId
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR, Asset, Money

AT = Booking("ref", 1, 1)
TERM = TermId("c1.1")


def one_transfer() -> Transfer:
    purse = accounts.processor("sandbox", Asset.USD)
    (transfer,) = postings.order(AT, purse, TERM, Money(5, Asset.USD))
    return transfer


def test_every_kind_has_a_side_and_every_transfer_kind_its_pairs() -> None:
    assert set(CHART) == set(AccountKind)
    assert set(PAIRS) == set(TransferKind)
    assert all(PAIRS.values())


def test_only_processor_and_payable_may_go_below_zero() -> None:
    unfloored = {kind for kind, rule in CHART.items() if not rule.floored}
    assert unfloored == {AccountKind.PROCESSOR, AccountKind.PAYABLE}


def test_what_we_own_grows_by_debit_and_what_we_owe_by_credit() -> None:
    debit = {kind.value for kind, rule in CHART.items() if rule.side is Side.DEBIT}
    assert debit == {
        "processor",
        "wallet",
        "owed",
        "dispute",
        "transit/treasury",
        "cost",
        "loss/disputes",
        "loss/bad_debt",
    }


@pytest.mark.parametrize("kind", AccountKind)
def test_an_account_is_found_again_by_its_name(kind: AccountKind) -> None:
    bare = kind.value.startswith(("income/", "loss/"))
    account = accounts.account(kind, "" if bare else "x", Asset.EUR)
    assert accounts.named(account.name, Asset.EUR) == account
    assert accounts.kind_of(account.name) is kind


@pytest.mark.parametrize("name", ["", "held", "helder/x", "loss", "transits/x"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(IllegalPosting):
        accounts.named(name, Asset.USD)


def test_a_house_account_has_no_owner_and_every_other_has_one() -> None:
    with pytest.raises(IllegalPosting):
        accounts.account(AccountKind.FEE, "someone", Asset.USD)
    with pytest.raises(IllegalPosting):
        accounts.account(AccountKind.HELD, "", Asset.USD)


def test_a_pair_outside_the_table_is_refused() -> None:
    payable = accounts.payable(AccountId("p"), Asset.USD)
    with pytest.raises(IllegalPosting, match="order from payable to held"):
        postings.order(AT, payable, TERM, Money(5, Asset.USD))


def test_a_transfer_between_two_assets_is_refused() -> None:
    purse = accounts.processor("sandbox", Asset.EUR)
    with pytest.raises(IllegalPosting, match="two assets"):
        postings.order(AT, purse, TERM, Money(5, Asset.USD))


@pytest.mark.parametrize("amount_minor", [0, -1, MAX_AMOUNT_MINOR + 1])
def test_an_amount_outside_the_limits_is_refused(amount_minor: int) -> None:
    with pytest.raises(IllegalPosting):
        accounts.check_transfer(replace(one_transfer(), amount_minor=amount_minor))


def test_nothing_is_booked_for_nothing() -> None:
    purse = accounts.processor("sandbox", Asset.USD)
    assert postings.order(AT, purse, TERM, Money(0, Asset.USD)) == ()
    assert postings.release(AT, TERM, AccountId("p"), 0, 0, Asset.USD) == ()


def test_a_transfer_is_named_after_what_it_is_for() -> None:
    assert one_transfer().id == "ref:order"
    again = postings.release(Booking("t", 1, 1, k="7"), TERM, AccountId("p"), 10, 3, Asset.USD)
    assert [transfer.id for transfer in again] == ["t:release:7", "t:platform_fee:7"]
    assert [transfer.amount_minor for transfer in again] == [7, 3]

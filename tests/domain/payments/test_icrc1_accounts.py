"""ICRC-1 accounts have one text form; everything else is refused, and so is whom nobody may pay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decent_cloud.domain.payments.icrc1_accounts import (
    ANONYMOUS,
    MANAGEMENT,
    BadPayoutAccount,
    Icrc1Account,
    Unpayable,
    account_text,
    check_payee,
    parse_account,
    parse_principal,
    principal_text,
)
from decent_cloud.domain.payments.token_ledgers import TOKEN_LEDGERS
from decent_cloud.kernel.money import Asset

OWNER = "k2t6j-2nvnp-4zjm3-25dtz-6xhaa-c7boj-5gayf-oj3xs-i43lp-teztq-6ae"
FULL = f"{OWNER}-dfxgiyy.102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
ONE = f"{OWNER}-6cc627i.1"


def test_the_standards_examples_are_read_and_written() -> None:
    owner = parse_principal(OWNER)
    expected = {
        OWNER: bytes(32),
        FULL: bytes(range(1, 33)),
        ONE: bytes(31) + b"\x01",
    }
    for text, subaccount in expected.items():
        assert parse_account(text) == Icrc1Account(owner, subaccount)
        assert str(Icrc1Account(owner, subaccount)) == text


@settings(max_examples=40)
@given(owner=st.binary(max_size=29), subaccount=st.binary(min_size=32, max_size=32))
def test_every_account_is_read_back(owner: bytes, subaccount: bytes) -> None:
    account = Icrc1Account(owner, subaccount)
    assert parse_account(account_text(account)) == account


@settings(max_examples=60)
@given(st.sampled_from([OWNER, FULL, ONE]), st.integers(0, 130), st.characters(codec="ascii"))
def test_a_changed_letter_is_refused_or_is_another_spelling_of_nothing(
    text: str, at: int, letter: str
) -> None:
    changed = text[: at % len(text)] + letter + text[at % len(text) + 1 :]
    if changed != text:
        with pytest.raises(BadPayoutAccount):
            parse_account(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        OWNER.upper(),
        OWNER + " ",
        OWNER.replace("-", ""),
        OWNER + "-",
        "-" + OWNER,
        OWNER + ".1",  # no checksum
        OWNER + "-6cc627i.",
        OWNER + "-6cc627i",
        OWNER + "-6cc627i.01",
        OWNER + "-6cc627i.0",
        OWNER + "-dfxgiyy." + FULL.partition(".")[2].upper(),
        FULL + "0",
        ONE.replace("6cc627i", "6cc627j"),
        principal_text(bytes(29))[:-1],
        "aaaaa",
        "a",
        "1" * 63,
        "ключ",
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(BadPayoutAccount) as refused:
        parse_account(text)
    assert refused.value.details["field"] == "address"


def test_a_principal_longer_than_29_bytes_is_refused() -> None:
    with pytest.raises(BadPayoutAccount, match="29"):
        parse_account(principal_text(bytes(30)))
    with pytest.raises(BadPayoutAccount, match="29"):
        Icrc1Account(bytes(30))
    with pytest.raises(BadPayoutAccount, match="32"):
        Icrc1Account(b"x", b"short")


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, "0x" + "12" * 32])
def test_an_account_identifier_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadPayoutAccount, match="principal"):
        parse_account(text)


def test_the_known_principals_are_what_they_are() -> None:
    assert principal_text(ANONYMOUS) == "2vxsx-fae"
    assert principal_text(MANAGEMENT) == "aaaaa-aa"
    assert all(
        parse_principal(principal_text(ledger.canister)) == ledger.canister
        for ledger in TOKEN_LEDGERS.values()
    )


def test_an_account_identifier_is_the_ledgers() -> None:
    # The anonymous principal's, known from the ICP ledger.
    expected = "1c7a48ba6a562aa9eaa2481a9049cdf0433b9738c992d698c31d8abf89cadc79"
    assert Icrc1Account(ANONYMOUS).identifier().hex() == expected


def test_payees_that_lose_the_money_are_refused() -> None:
    icp, ours = TOKEN_LEDGERS[Asset.ICP], parse_principal(OWNER)
    minting = Icrc1Account(b"minter", bytes(31) + b"\x01")
    unpayable = Unpayable(icp.canister, frozenset({ours}), minting)
    for account, word in [
        (Icrc1Account(ANONYMOUS), "anonymous"),
        (Icrc1Account(MANAGEMENT), "management"),
        (Icrc1Account(icp.canister, bytes(31) + b"\x01"), "ledger"),
        (minting, "burnt"),
        (Icrc1Account(ours, bytes(31) + b"\x01"), "wallet"),
    ]:
        with pytest.raises(BadPayoutAccount, match=word):
            check_payee(account, unpayable)
    assert check_payee(Icrc1Account(b"provider"), unpayable) is None  # type: ignore[func-returns-value]


def test_the_table_of_ledgers_knows_each_token() -> None:
    assert set(TOKEN_LEDGERS) == {Asset.ICP, Asset.CKUSDC, Asset.CKUSDT, Asset.CKBTC, Asset.DCT}
    assert {asset: ledger.decimals for asset, ledger in TOKEN_LEDGERS.items()} == {
        asset: asset.decimals for asset in TOKEN_LEDGERS
    }
    forgetful = [asset for asset, ledger in TOKEN_LEDGERS.items() if not ledger.kind.remembers]
    assert forgetful == [Asset.DCT]

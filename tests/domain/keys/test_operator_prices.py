"""Operator prices as statements: who may sign them, and what they may say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.domain.keys.errors import BadShape, BadSignature, WrongAccount, WrongSigner
from decent_cloud.domain.keys.operator_prices import (
    SignedPrice,
    parse_operator_price,
    sign_operator_price,
    verify_operator_price,
)
from decent_cloud.domain.keys.statements import StatementType, sign_statement
from tests.domain.keys.family import Holder, account, holder


def operator() -> tuple[Any, Holder, Holder, SignedPrice]:
    device, reader = holder("cli"), holder("other", DeviceType.BROWSER, 1)
    _, chain = account(device, reader)
    price = SignedPrice(chain.account_id, "f" * 64, "DCT", "0.0204", 1, 1_700_000_000_000)
    return chain, device, reader, price


def test_a_signed_price_comes_back_with_its_signer() -> None:
    chain, device, _, price = operator()
    statement = sign_operator_price(price, device.keys)
    assert verify_operator_price(statement, chain) == (price, device.device.kid)
    value = canonical.parse(statement.payload)
    assert parse_operator_price(value) == price
    assert isinstance(value, dict)
    assert value["usd"] == "0.0204"


def test_a_stranger_and_another_statement_are_refused() -> None:
    chain, device, _, price = operator()
    stranger = holder("stranger")
    with pytest.raises(WrongSigner):
        verify_operator_price(sign_operator_price(price, stranger.keys), chain)
    other = sign_statement(StatementType.PAYOUT_ADDRESS, price.to_json(), [device.keys])
    with pytest.raises(BadSignature):
        verify_operator_price(other, chain)


def test_a_price_speaks_for_its_own_account_only() -> None:
    chain, device, _, price = operator()
    foreign = sign_operator_price(replace(price, account_id="0" * 64), device.keys)  # type: ignore[arg-type]
    with pytest.raises(WrongAccount):
        verify_operator_price(foreign, chain)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0),
        ("n", "1"),
        ("until_ms", 0),
        ("usd", 1),
        ("asset", None),
        ("platform", 7),
        ("v", 2),
        ("more", 1),
    ],
)
def test_another_shape_is_refused(field: str, value: Any) -> None:
    _, _, _, price = operator()
    with pytest.raises(BadShape):
        parse_operator_price(price.to_json() | {field: value})
    with pytest.raises(BadShape):
        sign_operator_price(replace(price, number=0), holder("cli").keys)

"""Operator prices: what a token is worth in dollars, by an operator's hand and until when."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.authority import check_account, verify_authority
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.statements import Statement, StatementType, sign_statement
from decent_cloud.kernel.ids import AccountId, Kid

_KEYS = ("acct", "asset", "n", "platform", "until_ms", "usd", "v")


@dataclass(frozen=True, slots=True)
class SignedPrice:
    """`dollars` is a decimal number as text; `number` counts from 1 for each asset, and the highest counts."""

    account_id: AccountId
    platform_id: str
    asset: str
    dollars: str
    number: int
    until_ms: int

    def to_json(self) -> dict[str, Json]:
        return {
            "acct": b64u.from_hex(self.account_id),
            "asset": self.asset,
            "n": self.number,
            "platform": self.platform_id,
            "until_ms": self.until_ms,
            "usd": self.dollars,
            "v": 1,
        }


def parse_operator_price(value: Json) -> SignedPrice:
    """Read an operator price's payload.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _KEYS)
    fields.version()
    return SignedPrice(
        account_id=fields.account("acct"),
        platform_id=fields.text("platform"),
        asset=fields.text("asset"),
        dollars=fields.text("usd"),
        number=fields.count("n", 1),
        until_ms=fields.integer("until_ms", 1),
    )


def sign_operator_price(price: SignedPrice, keys: DeviceKeys) -> Statement:
    """Sign as a device of an operator's account.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_operator_price(price.to_json())
    return sign_statement(StatementType.OPERATOR_PRICE, price.to_json(), [keys])


def verify_operator_price(
    statement: Statement, chain: ChainState, *, first_seen: bool = True
) -> tuple[SignedPrice, Kid]:
    """Verify an operator's price and say which device signed; whether the account is an operator's, which platform
    it names and that `number` is above the last are the caller's to see.

    Errors: any `KeyRefused`. `first_seen` as in `verify_authority`.
    """
    value, member = verify_authority(
        StatementType.OPERATOR_PRICE, statement, chain, first_seen=first_seen
    )
    price = parse_operator_price(value)
    check_account(price.account_id, chain)
    return price, member.device.kid

"""Payout addresses: where an account's payouts and refunds in one asset go."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.authority import check_account, verify_authority
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.statements import Statement, StatementType, sign_statement
from decent_cloud.kernel.ids import AccountId

_KEYS = ("acct", "address", "asset", "n", "v")


@dataclass(frozen=True, slots=True)
class PayoutAddress:
    """`number` counts from 1; the highest one of an account and asset counts."""

    account_id: AccountId
    address: str
    asset: str
    number: int

    def to_json(self) -> dict[str, Json]:
        return {
            "acct": b64u.from_hex(self.account_id),
            "address": self.address,
            "asset": self.asset,
            "n": self.number,
            "v": 1,
        }


def parse_payout_address(value: Json) -> PayoutAddress:
    """Read a payout address's payload.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _KEYS)
    fields.version()
    return PayoutAddress(
        account_id=fields.account("acct"),
        address=fields.text("address"),
        asset=fields.text("asset"),
        number=fields.count("n", 1),
    )


def sign_payout_address(payout: PayoutAddress, keys: DeviceKeys) -> Statement:
    """Sign as a device of the account that is to be paid.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_payout_address(payout.to_json())
    return sign_statement(StatementType.PAYOUT_ADDRESS, payout.to_json(), [keys])


def verify_payout_address(
    statement: Statement, chain: ChainState, *, first_seen: bool = True
) -> PayoutAddress:
    """Verify an account's payout address; that `number` is above the last is the caller's to see.

    Errors: any `KeyRefused`. `first_seen` as in `verify_authority`.
    """
    value, _ = verify_authority(
        StatementType.PAYOUT_ADDRESS, statement, chain, first_seen=first_seen
    )
    payout = parse_payout_address(value)
    check_account(payout.account_id, chain)
    return payout

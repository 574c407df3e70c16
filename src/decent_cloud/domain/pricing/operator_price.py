"""A price set by hand: signed by an operator's device, expiring, and shown as such."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.kernel.ids import AccountId, Kid
from decent_cloud.kernel.money import Asset


@dataclass(frozen=True, slots=True)
class OperatorPrice:
    """An operator's word on what a token is worth in dollars, with the statement that proves it.

    `number` counts from 1 for each asset; the highest one counts. `withdrawn_at_ms` is 0 while it stands.
    """

    asset: Asset
    number: int
    price_e12: int
    until_ms: int
    set_at_ms: int
    account: AccountId
    kid: Kid
    statement: str
    withdrawn_at_ms: int = 0
    version: int = 1

    def stands(self, now_ms: int) -> bool:
        """Tell whether it can be used now."""
        return not self.withdrawn_at_ms and now_ms < self.until_ms

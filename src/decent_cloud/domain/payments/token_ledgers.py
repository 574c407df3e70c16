"""The token ledgers that can be paid from: where each stands, and what it can be relied on for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.domain.payments.icrc1_accounts import parse_principal
from decent_cloud.kernel.money import Asset


class LedgerKind(StrEnum):
    """Which program a ledger runs; they differ in their logs and in what they remember."""

    ICRC = "icrc"
    ICP = "icp"
    DCT = "dct"

    @property
    def remembers(self) -> bool:
        """Tell whether the memory of earlier transfers outlives the ledger's own upgrade."""
        return self is not LedgerKind.DCT

    @property
    def shows_memo(self) -> bool:
        """Tell whether a transfer's memo can be read back from the log."""
        return self is not LedgerKind.DCT


@dataclass(frozen=True, slots=True)
class TokenLedger:
    """One ledger. `usual_fee_minor` is for estimates: what counts is the ledger's own answer."""

    asset: Asset
    canister: bytes
    kind: LedgerKind
    usual_fee_minor: int

    @property
    def decimals(self) -> int:
        """How many decimal places one token has."""
        return self.asset.decimals


def _ledger(asset: Asset, canister: str, kind: LedgerKind, usual_fee_minor: int) -> TokenLedger:
    return TokenLedger(asset, parse_principal(canister), kind, usual_fee_minor)


TOKEN_LEDGERS = {
    ledger.asset: ledger
    for ledger in (
        _ledger(Asset.ICP, "ryjl3-tyaaa-aaaaa-aaaba-cai", LedgerKind.ICP, 10_000),
        _ledger(Asset.CKUSDC, "xevnm-gaaaa-aaaar-qafnq-cai", LedgerKind.ICRC, 10_000),
        _ledger(Asset.CKUSDT, "cngnf-vqaaa-aaaar-qag4q-cai", LedgerKind.ICRC, 10_000),
        _ledger(Asset.CKBTC, "mxzaz-hqaaa-aaaar-qaada-cai", LedgerKind.ICRC, 10),
        _ledger(Asset.DCT, "ggi4a-wyaaa-aaaai-actqq-cai", LedgerKind.DCT, 1_000_000),
    )
}

"""Assets and amounts: integers in minor units, never floats, never converted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.kernel.errors import Invalid

MAX_AMOUNT_MINOR = 2**53 - 1


class Asset(StrEnum):
    """What money can be held in."""

    USD = "USD"
    EUR = "EUR"
    ICP = "ICP"
    CKBTC = "ckBTC"
    CKUSDC = "ckUSDC"
    CKUSDT = "ckUSDT"
    DCT = "DCT"

    @property
    def decimals(self) -> int:
        """How many decimal places one major unit has."""
        return _DECIMALS[self]


_DECIMALS = {
    Asset.USD: 2,
    Asset.EUR: 2,
    Asset.ICP: 8,
    Asset.CKBTC: 8,
    Asset.CKUSDC: 6,
    Asset.CKUSDT: 6,
    Asset.DCT: 9,
}


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one asset, in its minor units."""

    amount_minor: int
    asset: Asset

    def __post_init__(self) -> None:
        if not 0 <= self.amount_minor <= MAX_AMOUNT_MINOR:
            raise Invalid(f"an amount lies between 0 and {MAX_AMOUNT_MINOR}", field="amount_minor")

    def __str__(self) -> str:
        return f"{decimal_text(self.amount_minor, self.asset)} {self.asset.value}"


def decimal_text(amount_minor: int, asset: Asset) -> str:
    """Write an amount in major units with all its decimals, such as `12.34`; negative balances keep
    their sign.
    """
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), 10**asset.decimals)
    return f"{sign}{whole}.{rest:0{asset.decimals}d}"


def share_floor(amount_minor: int, part: int, whole: int) -> int:
    """Return floor(amount * part / whole), clipped to [0, amount]; the remainder stays with the
    caller.
    """
    if whole <= 0:
        raise Invalid("a share needs a whole above 0", field="whole")
    return amount_minor * max(0, min(part, whole)) // whole

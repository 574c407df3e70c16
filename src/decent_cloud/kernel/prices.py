"""The words of prices that tables, wires and pages share: coins, where a price comes from, how far charts go."""

from __future__ import annotations

from enum import StrEnum


class Coin(StrEnum):
    """What a price is of, or in. Sources know coins; the ledger knows assets (kernel/money.py)."""

    USD = "USD"
    XDR = "XDR"  # the basket that the Internet Computer counts its own costs in
    ICP = "ICP"
    BTC = "BTC"
    USDC = "USDC"
    USDT = "USDT"
    CKBTC = "ckBTC"
    CKUSDC = "ckUSDC"
    CKUSDT = "ckUSDT"
    DCT = "DCT"


class PriceSource(StrEnum):
    """Who can be asked for a price."""

    COINBASE = "coinbase"
    KRAKEN = "kraken"
    BINANCE = "binance"
    KUCOIN = "kucoin"
    OKX = "okx"
    COINGECKO = "coingecko"  # an aggregate of the others
    ICPSWAP = "icpswap"  # pools on the Internet Computer
    CMC = "cmc"  # the Internet Computer's own rate, a sanity band


class PriceOrigin(StrEnum):
    """Who stands for a price that is in use."""

    MARKET = "market"
    OPERATOR = "operator"  # set by hand, signed, expiring


class ChartRange(StrEnum):
    """How far a chart looks back."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

"""Which price sources a server asks: those that its settings name, each behind the address guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from decent_cloud.adapters.prices import binance, coinbase, coingecko, kraken, kucoin, okx
from decent_cloud.adapters.reach.guard import AddressGuard
from decent_cloud.adapters.reach.json_answers import GuardedJson
from decent_cloud.app.ports.price_sources import JsonAnswers, Source
from decent_cloud.cli.lazy import load
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.prices import PriceSource
from decent_cloud.programs.server_settings import ServerSettings, price_addresses

# The Internet Computer's libraries are an extra, and take a while to load: only who asks there needs them.
_CANISTERS = "decent_cloud.programs.server_canisters:canister_sources"
_EXCHANGES: Mapping[PriceSource, tuple[str, Callable[[JsonAnswers], Source]]] = {
    PriceSource.COINBASE: (coinbase.ORIGIN, coinbase.Coinbase),
    PriceSource.KRAKEN: (kraken.ORIGIN, kraken.Kraken),
    PriceSource.BINANCE: (binance.ORIGIN, binance.Binance),
    PriceSource.KUCOIN: (kucoin.ORIGIN, kucoin.KuCoin),
    PriceSource.OKX: (okx.ORIGIN, okx.Okx),
    PriceSource.COINGECKO: (coingecko.ORIGIN, coingecko.CoinGecko),
}


def sources(settings: ServerSettings, guard: AddressGuard, clock: Clock) -> tuple[Source, ...]:
    """Return the sources that are switched on, in the settings' order.

    Errors: Invalid for one whose libraries are not installed.
    """
    wanted = tuple(dict.fromkeys(PriceSource(name) for name in settings.price_sources))
    addresses = price_addresses(settings.price_addresses)
    found: dict[PriceSource, Source] = {}
    for name in wanted:
        if name in _EXCHANGES:
            origin, make = _EXCHANGES[name]
            headers = _headers(name, settings)
            answers = GuardedJson(addresses.get(name, origin), guard, headers=headers)
            found[name] = make(answers)
        else:
            found[name] = _canister_source(name, addresses.get(name, ""), clock)
    return tuple(found.values())


def _canister_source(name: PriceSource, origin: str, clock: Clock) -> Source:
    try:
        make: Callable[[PriceSource, str, Clock], Source] = load(_CANISTERS)
    except ImportError:
        raise Invalid(
            f"{name.value} needs more libraries: pip install 'decent-cloud[icp]'",
            field="price_sources",
        ) from None
    return make(name, origin, clock)


def _headers(name: PriceSource, settings: ServerSettings) -> tuple[tuple[str, str], ...]:
    if name is PriceSource.COINGECKO and settings.coingecko_key:
        return ((coingecko.KEY_HEADER, settings.coingecko_key),)
    return ()

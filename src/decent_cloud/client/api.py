"""One typed client for all routes that a person's device uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import httpx

from decent_cloud.client.accounts import AccountsApi
from decent_cloud.client.agents import PairingApi
from decent_cloud.client.contracts import ContractsApi
from decent_cloud.client.offerings import OfferingsApi
from decent_cloud.client.prices import PricesApi
from decent_cloud.client.providers import ProvidersApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.ids import AccountId


class Client:
    """A connection to one platform, as one device or as nobody in particular."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.accounts = AccountsApi(transport)
        self.providers = ProvidersApi(transport)
        self.pairing = PairingApi(transport)
        self.offerings = OfferingsApi(transport)
        self.contracts = ContractsApi(transport)
        self.prices = PricesApi(transport)

    @classmethod
    def connect(
        cls,
        origin: str,
        identity: tuple[AccountId, DeviceKeys] | None = None,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        via: Callable[[], httpx.BaseTransport] | None = None,
    ) -> Self:
        """Prepare calls to `origin`, signed if `identity` is given; nothing is sent yet."""
        auth = DeviceAuth(*identity, clock=clock) if identity else None
        network = via() if via else None
        return cls(Transport(origin, auth, limits=limits or Limits(), clock=clock, via=network))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.transport.close()

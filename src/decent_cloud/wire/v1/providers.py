"""Provider profiles, pools, setup tokens and the pairing relay."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.wire.v1.money import B64u, Hex64, Name, ShortText, Timestamp

Rid = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class CreateProvider(Request, frozen=True):
    """Make the calling account a provider; both fields are public."""

    name: Name
    website: ShortText = ""


class ProviderView(Answer, frozen=True):
    """A provider's public profile."""

    id: Hex64
    name: str
    website: str
    created_at: Timestamp


class CreatePool(Request, frozen=True):
    """A named place where agents of one driver run."""

    name: Name
    driver: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{1,30}$")]


class PoolView(Answer, frozen=True):
    """A pool and where its assignment log stands."""

    id: str
    provider: Hex64
    name: str
    driver: str
    created_at: Timestamp
    log_seq: int
    log_hash: str


class PoolsView(Answer, frozen=True):
    """A provider's pools."""

    items: tuple[PoolView, ...]


class OpenPairing(Request, frozen=True):
    """The trusted device opens (or renews) the relay: its sealed message, and the pool of a setup
    token.
    """

    message: B64u
    pool: str
    ttl_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 86_400


class JoinPairing(Request, frozen=True):
    """The new device's sealed message."""

    message: B64u


class PairingView(Answer, frozen=True):
    """What the relay holds; it can read neither message."""

    rid: Rid
    old_message: str
    new_message: str
    pool: str
    expires_at: Timestamp

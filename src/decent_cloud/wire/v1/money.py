"""Amounts and times as they cross the wire: minor units as text, RFC 3339 UTC."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer
from decent_cloud.kernel.money import Asset

Hex64 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
B64u = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]*$", max_length=200_000)]
KidText = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{22}$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
ShortText = Annotated[str, msgspec.Meta(max_length=500)]
Timestamp = str  # RFC 3339, UTC, milliseconds


class Amount(Answer, frozen=True):
    """An amount in minor units (text, so that no reader rounds it)."""

    amount_minor: str
    asset: Asset

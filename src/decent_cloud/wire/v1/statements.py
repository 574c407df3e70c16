"""Signed statements on the wire (facts: DSSE-like envelope over canonical JSON)."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Request
from decent_cloud.wire.v1.money import B64u, KidText


class SignatureWire(Request, frozen=True):
    """One signer's key id and Ed25519 signature."""

    k: KidText
    sig: B64u


class StatementWire(Request, frozen=True):
    """A payload (b64u of canonical JSON) and its signatures."""

    p: B64u
    s: Annotated[tuple[SignatureWire, ...], msgspec.Meta(min_length=1, max_length=64)]

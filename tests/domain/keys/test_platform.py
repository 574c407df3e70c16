from __future__ import annotations

from hashlib import sha256

import pytest

from decent_cloud.domain.keys.errors import BadPoint, BadShape, BadSignature
from decent_cloud.domain.keys.platform import (
    DESIRED,
    PlatformKey,
    platform_id_of,
    verify_platform,
)
from tests.domain.keys.vectors import named_seed

KEY = PlatformKey(named_seed("platform"))


def test_the_platforms_id_is_the_hash_of_its_key() -> None:
    assert KEY.platform_id == sha256(b"dcx/platform/v1\0" + KEY.public).hexdigest()
    assert KEY.platform_id == platform_id_of(KEY.public)
    assert repr(KEY) == f"PlatformKey({KEY.platform_id})"


def test_a_signature_holds_for_type_payload_and_platform() -> None:
    signature = KEY.sign(DESIRED, b"{}")
    verify_platform(KEY.public, DESIRED, b"{}", signature)
    other = PlatformKey(named_seed("other platform"))
    for public, kind, payload in (
        (other.public, DESIRED, b"{}"),
        (KEY.public, "dcx/order/v1", b"{}"),
        (KEY.public, DESIRED, b"[]"),
    ):
        with pytest.raises(BadSignature):
            verify_platform(public, kind, payload, signature)


def test_every_flipped_bit_of_the_signature_is_refused() -> None:
    signature = KEY.sign(DESIRED, b"{}")
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            verify_platform(KEY.public, DESIRED, b"{}", bytes(changed))


def test_a_weak_platform_key_is_refused() -> None:
    with pytest.raises(BadPoint):
        verify_platform(b"\x01" + bytes(31), DESIRED, b"{}", bytes(64))


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(BadShape):
        PlatformKey(bytes(31))

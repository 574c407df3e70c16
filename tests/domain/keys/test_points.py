from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.keys import hpke
from decent_cloud.domain.keys.errors import BadPoint, BadSignature
from decent_cloud.domain.keys.points import (
    check_ed25519_key,
    check_x25519_key,
    verify_signature,
)
from tests.domain.keys import vectors
from tests.domain.keys.family import holder

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

# The eight points of small order, and spellings of them that are not canonical.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_an_ed25519_key_of_small_order_is_refused(key: str) -> None:
    with pytest.raises(BadPoint):
        check_ed25519_key(bytes.fromhex(key))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(BadPoint):
        check_ed25519_key(bytes(length))
    with pytest.raises(BadPoint):
        check_x25519_key(b"\x09" * length)


def test_a_key_off_the_curve_is_refused() -> None:
    with pytest.raises(BadPoint):
        check_ed25519_key(b"\x02" + bytes(31))


X25519_LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    FIELD_PRIME - 1,
]


@pytest.mark.parametrize("u", X25519_LOW_ORDER)
def test_an_x25519_key_that_gives_all_zeros_is_refused(u: int) -> None:
    with pytest.raises(BadPoint):
        check_x25519_key(u.to_bytes(32, "little"))
    with pytest.raises(BadPoint):
        hpke.seal(b"seed", u.to_bytes(32, "little"), b"")


@pytest.mark.parametrize("u", [FIELD_PRIME, FIELD_PRIME + 9, 2**255 + 9, 2**256 - 1])
def test_an_x25519_key_that_is_not_canonical_is_refused(u: int) -> None:
    with pytest.raises(BadPoint):
        check_x25519_key(u.to_bytes(32, "little"))


def test_the_largest_canonical_x25519_key_is_taken() -> None:
    check_x25519_key((FIELD_PRIME - 2).to_bytes(32, "little"))
    check_x25519_key((9).to_bytes(32, "little"))


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    keys = holder("laptop").keys
    signature = keys.sign(b"hello")
    verify_signature(keys.sig, b"hello", signature)
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            verify_signature(keys.sig, b"hello", bytes(changed))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_signature_holds_for_its_message_alone(message: bytes, other: bytes) -> None:
    keys = holder("laptop").keys
    signature = keys.sign(message)
    if message == other:
        verify_signature(keys.sig, other, signature)
    else:
        with pytest.raises(BadSignature):
            verify_signature(keys.sig, other, signature)


def test_a_second_spelling_of_the_scalar_is_refused() -> None:
    keys = holder("laptop").keys
    signature = keys.sign(b"hello")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(BadSignature):
        verify_signature(keys.sig, b"hello", signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(BadSignature):
        verify_signature(bytes.fromhex(vectors.LAPTOP_SIG), b"", bytes(length))

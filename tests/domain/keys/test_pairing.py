from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import extend
from decent_cloud.domain.keys.errors import (
    BadPairing,
    BadShape,
    Forked,
    RolledBack,
    WrongAccount,
    WrongSequence,
    WrongSigner,
)
from decent_cloud.domain.keys.links import build_add
from decent_cloud.domain.keys.pairing import (
    Side,
    code_from_random,
    open_invitation,
    open_join,
    parse_code,
    seal_invitation,
    seal_join,
)
from decent_cloud.domain.keys.statements import StatementType, cosign
from tests.domain.keys import vectors
from tests.domain.keys.family import account, holder, rotated

CODE = parse_code(vectors.CODE)
OLD, NEW = holder("old"), holder("new")


@given(st.binary(min_size=13, max_size=13))
def test_a_shown_code_reads_back(random_bytes: bytes) -> None:
    code = code_from_random(random_bytes)
    assert parse_code(code.text) == code
    assert parse_code(code.text.lower().replace("-", " ").replace("0", "o")) == code
    assert parse_code(code.text.replace("1", "L")) == parse_code(code.text.replace("1", "I"))


@pytest.mark.parametrize(
    "text", ["", vectors.CODE[:-1], vectors.CODE + "7", vectors.CODE[:-1] + "U", "é" * 20]
)
def test_another_text_is_no_code(text: str) -> None:
    with pytest.raises(BadPairing):
        parse_code(text)


@pytest.mark.parametrize("length", [12, 14])
def test_a_code_comes_from_thirteen_bytes(length: int) -> None:
    with pytest.raises(BadPairing):
        code_from_random(bytes(length))


def test_a_code_does_not_show_when_printed() -> None:
    assert vectors.CODE_BYTES not in repr(CODE)
    assert vectors.CODE not in repr(CODE)


def test_two_devices_link_over_a_relay() -> None:
    _, chain = account(OLD)
    invitation = open_invitation(CODE, seal_invitation(CODE, chain))
    invitation.check(chain)
    link = build_add(chain.next_place, NEW.device, [NEW.keys])
    joined = open_join(CODE, seal_join(CODE, link))
    with pytest.raises(WrongSigner):
        extend(chain, joined)
    after = extend(chain, cosign(StatementType.LINK, joined, OLD.keys))
    assert after.device(NEW.device.kid) == NEW.device
    with pytest.raises(WrongSequence):
        extend(after, cosign(StatementType.LINK, joined, OLD.keys))


def test_the_new_device_refuses_a_chain_that_the_old_one_did_not_see() -> None:
    _, chain = account(OLD)
    grown = extend(chain, rotated(chain, OLD))
    sibling = extend(chain, rotated(chain, OLD, seed="rival"))
    _, other = account(OLD, salt=8)
    invitation = open_invitation(CODE, seal_invitation(CODE, grown))
    invitation.check(extend(grown, rotated(grown, OLD)))
    with pytest.raises(RolledBack):
        invitation.check(chain)
    with pytest.raises(Forked):
        invitation.check(sibling)
    with pytest.raises(WrongAccount):
        invitation.check(other)


def test_a_message_of_another_code_or_reflected_to_its_sender_is_refused() -> None:
    _, chain = account(OLD)
    message = seal_invitation(CODE, chain)
    with pytest.raises(BadPairing):
        open_invitation(code_from_random(bytes(13)), message)
    with pytest.raises(BadPairing):
        open_join(CODE, message)
    with pytest.raises(BadPairing):
        open_invitation(CODE, seal_join(CODE, build_add(chain.next_place, NEW.device, [])))


def test_every_flipped_bit_of_a_message_is_refused() -> None:
    raw = b64u.decode(CODE.seal(Side.OLD, {"seq": 1}))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadPairing):
            CODE.open(Side.OLD, b64u.encode(bytes(changed)))


@given(st.text(max_size=60))
def test_a_text_from_anywhere_is_refused(text: str) -> None:
    with pytest.raises(BadPairing):
        CODE.open(Side.OLD, text)


def test_an_oversized_message_is_refused_unread() -> None:
    with pytest.raises(BadPairing):
        CODE.open(Side.OLD, "A" * (128 * 1024 + 4))


def test_a_message_of_another_shape_is_refused() -> None:
    with pytest.raises(BadShape):
        open_invitation(CODE, CODE.seal(Side.OLD, {"acct": "x"}))
    with pytest.raises(BadShape):
        open_join(CODE, CODE.seal(Side.NEW, {"p": ""}))


def test_each_message_is_sealed_afresh() -> None:
    assert CODE.seal(Side.OLD, 1) != CODE.seal(Side.OLD, 1)

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.errors import (
    BadShape,
    BadSignature,
    KeyRefused,
    NotCanonical,
    WrongSigner,
)
from decent_cloud.domain.keys.statements import (
    Signature,
    Statement,
    StatementType,
    cosign,
    digest_of,
    parse_statement,
    sign_statement,
    signers_of,
    statement_from_json,
    verify_signatures,
    verify_sole_signature,
)
from tests.domain.keys.family import holder

LAPTOP, CLI = holder("laptop"), holder("cli")
ALLOWED = {one.device.kid: one.device for one in (LAPTOP, CLI)}
ORDER = StatementType.ORDER


def signed() -> Statement:
    return sign_statement(ORDER, {"v": 1}, [LAPTOP.keys, CLI.keys])


def test_a_statement_reads_back_from_bytes_and_from_json() -> None:
    statement = signed()
    assert parse_statement(statement.encode()) == statement
    assert statement_from_json(json.loads(statement.encode())) == statement
    assert signers_of(statement) == {LAPTOP.device.kid, CLI.device.kid}
    verify_signatures(ORDER, statement, ALLOWED)


def test_a_signature_counts_for_one_type_of_statement() -> None:
    statement = signed()
    for other in StatementType:
        if other is not ORDER:
            with pytest.raises(BadSignature):
                verify_signatures(other, statement, ALLOWED)
            assert digest_of(other, statement.payload) != digest_of(ORDER, statement.payload)


def test_a_foreign_signer_beside_good_ones_is_refused() -> None:
    with pytest.raises(WrongSigner):
        verify_signatures(ORDER, cosign(ORDER, signed(), holder("thief").keys), ALLOWED)


def test_a_repeated_signer_is_refused() -> None:
    twice = cosign(ORDER, signed(), LAPTOP.keys)
    with pytest.raises(BadShape):
        parse_statement(twice.encode())
    with pytest.raises(WrongSigner):
        verify_signatures(ORDER, twice, ALLOWED)


def test_one_bad_signature_beside_a_good_one_is_refused() -> None:
    statement = signed()
    first, second = statement.signatures
    swapped = (Signature(first.kid, second.sig), Signature(second.kid, first.sig))
    with pytest.raises(BadSignature):
        verify_signatures(ORDER, replace(statement, signatures=swapped), ALLOWED)


def test_a_sole_signature_is_exactly_one() -> None:
    devices = ALLOWED.values()
    one = sign_statement(ORDER, {"v": 1}, [CLI.keys])
    assert verify_sole_signature(ORDER, one, devices) == CLI.device
    for statement in (signed(), replace(one, signatures=())):
        with pytest.raises(WrongSigner):
            verify_sole_signature(ORDER, statement, devices)


@pytest.mark.parametrize(
    "change",
    [
        {"p": 1},
        {"p": "AA=="},
        {"p": "AB"},
        {"s": {}},
        {"s": ["x"]},
        {"s": [{"k": "AAAA", "sig": b64u.encode(bytes(64))}]},
        {"s": [{"k": b64u.encode(bytes(16)), "sig": b64u.encode(bytes(63))}]},
        {"s": [{"k": b64u.encode(bytes(16)), "sig": b64u.encode(bytes(64)), "t": 1}]},
        {"type": "dcx/order/v1"},
    ],
)
def test_a_statement_of_another_shape_is_refused(change: dict[str, Json]) -> None:
    with pytest.raises(KeyRefused):
        statement_from_json({**signed().to_json(), **change})


def test_a_statement_has_at_most_64_kib_with_its_signatures() -> None:
    fits, over = Statement(bytes(49_140), ()), Statement(bytes(49_141), ())
    assert len(fits.encode()) <= 65_536 < len(over.encode())
    assert statement_from_json(fits.to_json()) == fits
    with pytest.raises(NotCanonical):
        statement_from_json(over.to_json())


def test_a_statement_in_another_layout_is_refused_as_bytes() -> None:
    with pytest.raises(NotCanonical):
        parse_statement(json.dumps(signed().to_json()).encode())

"""Orders, offers, payout addresses and SSH key lists: who may sign them, and what they may say."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.chain import ChainState, Pin, extend
from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.domain.keys.errors import (
    BadShape,
    BadSignature,
    Forked,
    KeyRefused,
    NotCanonical,
    UnknownHead,
    WrongAccount,
    WrongSigner,
)
from decent_cloud.domain.keys.key_lists import (
    MAX_KEYS,
    KeyList,
    parse_key_list,
    sign_key_list,
    verify_key_list,
)
from decent_cloud.domain.keys.offers import Offer, parse_offer, sign_offer, verify_offer
from decent_cloud.domain.keys.orders import Order, parse_order, sign_order, verify_order
from decent_cloud.domain.keys.payout_addresses import (
    PayoutAddress,
    parse_payout_address,
    sign_payout_address,
    verify_payout_address,
)
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    cosign,
    digest_of,
    sign_statement,
)
from decent_cloud.kernel.ids import AccountId, Digest, OfferingId
from decent_cloud.kernel.ssh_keys import SshPublicKey
from tests.domain.keys.family import (
    Holder,
    account,
    added,
    holder,
    provider,
    rotated,
    tenant,
)

ONE, TWO = holder("one"), holder("two")
WORDS = holder("words", DeviceType.RECOVERY, 0)
READER = holder("reader", DeviceType.CLI, 2)
AGENT = holder("agent", DeviceType.AGENT, 2)
THIEF = holder("thief")
CHAIN = account(ONE, TWO, WORDS, READER, AGENT)[1]
DIGEST = Digest("ab" * 32)

ORDER = Order(
    account_id=CHAIN.account_id,
    extends=None,
    head=CHAIN.pin,
    hours=24,
    nonce=bytes(16),
    not_after_s=1_800_000_000,
    offer_digest=DIGEST,
    offering_id=OfferingId("o1"),
    provider=provider().chain.account_id,
    recovery="none",
    renew="no",
    ssh_keys=("ssh-ed25519 AAAA me",),
    total_amount_minor=1234,
    total_asset="USD",
)
OFFER = Offer(CHAIN.account_id, OfferingId("o1"), 1, DIGEST)
PAYOUT = PayoutAddress(CHAIN.account_id, "aaaaa-aa", "ICP", 1)


def ssh_line(number: int) -> str:
    """Return a well-formed public key's line; a higher number sorts later."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


SSH_KEYS = tuple(SshPublicKey.parse(ssh_line(number)) for number in (1, 2))
KEY_LIST = KeyList(CHAIN.account_id, ORDER.digest, CHAIN.pin, SSH_KEYS, 1)

Verify = Callable[..., object]
KINDS: list[tuple[StatementType, dict[str, Any], Verify]] = [
    (StatementType.ORDER, ORDER.to_json(), verify_order),
    (StatementType.OFFER, OFFER.to_json(), verify_offer),
    (StatementType.PAYOUT_ADDRESS, PAYOUT.to_json(), verify_payout_address),
    (
        StatementType.KEY_LIST,
        KEY_LIST.to_json(),
        partial(verify_key_list, contract=ORDER.digest),
    ),
]
each_kind = pytest.mark.parametrize(("kind", "payload", "verify"), KINDS)


def by(kind: StatementType, payload: dict[str, Any], *signers: Holder) -> Statement:
    return sign_statement(kind, payload, [one.keys for one in signers])


@pytest.mark.parametrize("signer", [ONE, WORDS])
def test_what_an_admin_device_signed_reads_back(signer: Holder) -> None:
    assert verify_order(sign_order(ORDER, signer.keys), CHAIN) == ORDER
    assert verify_offer(sign_offer(OFFER, signer.keys), CHAIN) == OFFER
    assert verify_payout_address(sign_payout_address(PAYOUT, signer.keys), CHAIN) == PAYOUT
    signed = sign_key_list(KEY_LIST, signer.keys)
    assert verify_key_list(signed, CHAIN, ORDER.digest) == KEY_LIST


@each_kind
@pytest.mark.parametrize("signers", [(), (READER,), (AGENT,), (THIEF,), (ONE, TWO), (ONE, AGENT)])
def test_any_other_set_of_signers_is_refused(
    kind: StatementType, payload: dict[str, Any], verify: Verify, signers: tuple[Holder, ...]
) -> None:
    with pytest.raises(WrongSigner):
        verify(by(kind, payload, *signers), CHAIN)


@each_kind
def test_a_device_revoked_since_signs_nothing_new_but_what_was_accepted_stays(
    kind: StatementType, payload: dict[str, Any], verify: Verify
) -> None:
    later = extend(CHAIN, rotated(CHAIN, ONE, revoke=(TWO,)))
    with pytest.raises(WrongSigner):
        verify(by(kind, payload, TWO), later)
    verify(by(kind, payload, TWO), later, first_seen=False)
    for signer in (READER, AGENT, THIEF):
        with pytest.raises(WrongSigner):
            verify(by(kind, payload, signer), later, first_seen=False)


@each_kind
def test_a_signature_under_another_type_is_refused(
    kind: StatementType, payload: dict[str, Any], verify: Verify
) -> None:
    for other in StatementType:
        if other is not kind:
            with pytest.raises(BadSignature):
                verify(by(other, payload, ONE), CHAIN)


@each_kind
def test_a_statement_for_another_account_is_refused(
    kind: StatementType, payload: dict[str, Any], verify: Verify
) -> None:
    with pytest.raises(WrongAccount):
        verify(by(kind, payload | {"acct": "A" * 43}, ONE), CHAIN)
    with pytest.raises(WrongSigner):
        verify(by(kind, payload, ONE), tenant().chain)


@each_kind
def test_every_field_is_needed_and_no_other_is_taken(
    kind: StatementType, payload: dict[str, Any], verify: Verify
) -> None:
    for key in payload:
        fewer = {name: value for name, value in payload.items() if name != key}
        with pytest.raises(BadShape):
            verify(by(kind, fewer, ONE), CHAIN)
    for change in ({"more": 1}, {"v": 2}):
        with pytest.raises(BadShape):
            verify(by(kind, payload | change, ONE), CHAIN)


@each_kind
def test_well_signed_bytes_in_another_spelling_are_refused(
    kind: StatementType, payload: dict[str, Any], verify: Verify
) -> None:
    for raw in (json.dumps(payload), json.dumps(payload, sort_keys=True) + "\n"):
        with pytest.raises(NotCanonical):
            verify(cosign(kind, Statement(raw.encode(), ()), ONE.keys), CHAIN)


@each_kind
def test_a_flipped_bit_in_any_byte_of_a_signed_payload_is_refused(
    kind: StatementType, payload: dict[str, Any], verify: Verify
) -> None:
    statement = by(kind, payload, ONE)
    for bit in range(0, 8 * len(statement.payload), 5):
        changed = bytearray(statement.payload)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            verify(replace(statement, payload=bytes(changed)), CHAIN)


WRONG_ORDERS: list[dict[str, Any]] = [
    {"hours": 0},
    {"hours": 87_601},
    {"hours": "24"},
    {"nonce": "AAAA"},
    {"not_after": True},
    {"extends": "AAAA"},
    {"extends": 0},
    {"head": {"hash": "A" * 43}},
    {"head": {"hash": "A" * 43, "seq": 2**31}},
    {"offer": {"hash": "A" * 43, "id": 1}},
    {"offer": {"hash": "", "id": "o1"}},
    {"provider": ""},
    {"recovery": "yes"},
    {"renew": ""},
    {"ssh_keys": "x"},
    {"ssh_keys": [1]},
    {"total": {"amount_minor": "1", "asset": "USD"}},
    {"total": {"amount_minor": 0, "asset": "USD"}},
    {"total": {"amount_minor": 2**53, "asset": "USD"}},
    {"total": {"amount_minor": 1, "asset": 1}},
    {"total": 1},
]


@pytest.mark.parametrize("change", WRONG_ORDERS)
def test_an_order_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        parse_order(ORDER.to_json() | change)


@pytest.mark.parametrize(
    "change", [{"n": 0}, {"n": 2**31}, {"n": True}, {"terms": "AAAA"}, {"id": 1}]
)
def test_an_offer_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        parse_offer(OFFER.to_json() | change)


@pytest.mark.parametrize("change", [{"n": 0}, {"address": 1}, {"asset": 1}])
def test_a_payout_address_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        parse_payout_address(PAYOUT.to_json() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 0},
        {"n": 2**31},
        {"contract": ""},
        {"head": {"hash": "A" * 43}},
        {"keys": []},
        {"keys": "ssh-ed25519"},
        {"keys": [ssh_line(2), ssh_line(1)]},
        {"keys": [ssh_line(1), ssh_line(1)]},
        {"keys": [ssh_line(number) for number in range(MAX_KEYS + 1)]},
        {"keys": [f"{ssh_line(1)} me@here"]},
        {"keys": [f" {ssh_line(1)}"]},
        {"keys": [f'command="id" {ssh_line(1)}']},
        {"keys": [f"{ssh_line(1)}\n{ssh_line(2)}"]},
        {"keys": ["ssh-ed25519 AAAA"]},
    ],
)
def test_a_key_list_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        parse_key_list(KEY_LIST.to_json() | change)


def test_a_key_list_counts_for_its_contract_alone() -> None:
    with pytest.raises(BadShape, match="another contract"):
        verify_key_list(sign_key_list(KEY_LIST, ONE.keys), CHAIN, DIGEST)


def test_key_lists_of_one_number_are_told_apart() -> None:
    statement = sign_key_list(KEY_LIST, ONE.keys)
    assert KEY_LIST.digest == digest_of(StatementType.KEY_LIST, statement.payload)
    assert KEY_LIST.digest != replace(KEY_LIST, keys=SSH_KEYS[:1]).digest


def test_a_key_list_waits_for_a_reader_whose_chain_is_behind() -> None:
    later = extend(CHAIN, rotated(CHAIN, ONE))
    newer = sign_key_list(replace(KEY_LIST, head=later.pin), ONE.keys)
    with pytest.raises(UnknownHead):
        verify_key_list(newer, CHAIN, ORDER.digest)


def test_what_no_reader_takes_is_not_signed() -> None:
    with pytest.raises(BadShape):
        sign_key_list(replace(KEY_LIST, number=0), ONE.keys)
    with pytest.raises(BadShape):
        sign_order(replace(ORDER, hours=0), ONE.keys)
    with pytest.raises(BadShape):
        sign_order(replace(ORDER, provider=AccountId("AB" * 32)), ONE.keys)
    with pytest.raises(BadShape):
        sign_offer(replace(OFFER, version=0), ONE.keys)
    with pytest.raises(BadShape):
        sign_payout_address(replace(PAYOUT, number=0), ONE.keys)
    with pytest.raises(NotCanonical):
        sign_order(replace(ORDER, total_asset="\ud800"), ONE.keys)


def test_an_order_is_free_exactly_from_ones_own_account() -> None:
    free = replace(ORDER, provider=CHAIN.account_id, total_amount_minor=0)
    assert verify_order(sign_order(free, ONE.keys), CHAIN) == free
    for wrong in (replace(ORDER, total_amount_minor=0), replace(free, total_amount_minor=1)):
        with pytest.raises(BadShape):
            sign_order(wrong, ONE.keys)


def test_a_contract_is_named_by_its_first_order() -> None:
    statement = sign_order(ORDER, ONE.keys)
    assert ORDER.digest == digest_of(StatementType.ORDER, statement.payload)
    assert ORDER.contract == ORDER.digest
    extension = replace(ORDER, extends=ORDER.digest)
    assert verify_order(sign_order(extension, ONE.keys), CHAIN).contract == ORDER.digest
    assert extension.digest != ORDER.digest


def test_an_offer_is_named_by_its_hash() -> None:
    assert OFFER.digest == digest_of(StatementType.OFFER, canonical.write(OFFER.to_json()))
    assert OFFER.digest != replace(OFFER, version=2).digest


def test_the_head_in_an_order_is_in_the_tenants_chain() -> None:
    later = extend(CHAIN, rotated(CHAIN, ONE))
    assert verify_order(sign_order(ORDER, ONE.keys), later) == ORDER
    newer = sign_order(replace(ORDER, head=later.pin), ONE.keys)
    assert verify_order(newer, later).head == later.pin
    with pytest.raises(UnknownHead):
        verify_order(newer, CHAIN)
    with pytest.raises(Forked):
        verify_order(sign_order(replace(ORDER, head=Pin(0, DIGEST)), ONE.keys), later)


def test_an_accepted_order_was_signed_while_its_device_was_active() -> None:
    new = holder("new")
    joined = extend(CHAIN, added(CHAIN, new, ONE))
    gone = extend(joined, rotated(joined, ONE, revoke=(new,)))

    def verdict(head: ChainState) -> Order:
        statement = sign_order(replace(ORDER, head=head.pin), new.keys)
        return verify_order(statement, gone, first_seen=False)

    assert verdict(joined).head == joined.pin
    for head in (CHAIN, gone):
        with pytest.raises(WrongSigner):
            verdict(head)

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.chain import (
    MAX_DEVICES,
    MAX_LINKS,
    ChainState,
    Pin,
    begin,
    check_pin,
    extend,
    verify_chain,
)
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType
from decent_cloud.domain.keys.errors import (
    BadPoint,
    BadShape,
    BadSignature,
    ChainRule,
    Forked,
    KeyRefused,
    NotCanonical,
    RolledBack,
    UnknownHead,
    WrongAccount,
    WrongSequence,
    WrongSigner,
)
from decent_cloud.domain.keys.links import Place, build_add, build_genesis, build_rotate
from decent_cloud.domain.keys.statements import Statement, StatementType, cosign, sign_statement
from decent_cloud.kernel.ids import AccountId, Digest, Kid
from tests.domain.keys import vectors
from tests.domain.keys.family import (
    Holder,
    account,
    account_seed,
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
NEW, THIEF = holder("new"), holder("thief")


def everyone() -> ChainState:
    return account(ONE, TWO, WORDS, READER, AGENT)[1]


def resigned(statement: Statement, change: Callable[[Any], None], *signers: Holder) -> Statement:
    payload = json.loads(statement.payload)
    change(payload)
    return sign_statement(StatementType.LINK, payload, [one.keys for one in signers])


# Genesis


def test_a_chain_begins_with_all_its_devices() -> None:
    state = everyone()
    assert (state.seq, state.head, state.generation.number) == (0, state.links[0], 1)
    assert {device.kid for device in state.active()} == set(state.members)
    assert state.next_place == Place(state.account_id, 1, state.head)


@pytest.mark.parametrize("signers", [(), (ONE,), (ONE, TWO, THIEF), (ONE, THIEF)])
def test_genesis_is_signed_by_every_listed_device_and_nobody_else(
    signers: tuple[Holder, ...],
) -> None:
    statement, _ = account(ONE, TWO)
    with pytest.raises(WrongSigner):
        begin(resigned(statement, lambda _: None, *signers))


def test_genesis_needs_a_device_that_may_change_the_chain() -> None:
    for members in ((), (READER,), (READER, AGENT)):
        with pytest.raises(ChainRule):
            account(*members)


def test_genesis_lists_a_device_once() -> None:
    statement = build_genesis(
        [(ONE.device, ONE.keys), (ONE.device, TWO.keys)], account_seed("s", 1).public, bytes(16)
    )
    with pytest.raises(ChainRule):
        begin(statement)


def test_another_public_key_in_genesis_is_refused() -> None:
    statement, _ = account(ONE)
    payload = json.loads(statement.payload)
    payload["devs"][0] = THIEF.device.to_json()
    with pytest.raises(WrongSigner):
        begin(replace(statement, payload=canonical.write(payload)))
    payload["devs"][0] = {**THIEF.device.to_json(), "kid": ONE.device.kid}
    with pytest.raises(BadShape):
        begin(replace(statement, payload=canonical.write(payload)))


def test_another_salt_under_the_old_signature_is_refused() -> None:
    statement, _ = account(ONE)
    other, _ = account(ONE, salt=8)
    with pytest.raises(BadSignature):
        begin(replace(other, signatures=statement.signatures))


def test_another_genesis_is_another_account() -> None:
    statement, state = account(ONE)
    other, _ = account(ONE, salt=8)
    assert verify_chain([statement], account_id=state.account_id) == state
    with pytest.raises(WrongAccount):
        verify_chain([other], account_id=state.account_id)


def test_the_first_generation_is_one() -> None:
    statement, _ = account(ONE)
    with pytest.raises(BadShape):
        begin(resigned(statement, lambda payload: payload["gen"].update(n=2), ONE))


def test_a_chain_has_links_and_the_first_is_genesis() -> None:
    with pytest.raises(ChainRule):
        verify_chain([])
    with pytest.raises(WrongSequence):
        begin(tenant().links[1])
    with pytest.raises(WrongSequence):
        extend(tenant().chain, tenant().links[0])


@pytest.mark.parametrize(
    "change",
    [
        {"acct": "A" * 43},
        {"prev": ""},
        {"seq": 1},
        {"v": 2},
        {"v": True},
        {"op": "found"},
        {"op": 1},
        {"salt": "AAAA"},
        {"salt": None},
        {"devs": {}},
        {"devs": ["x"]},
        {"gen": {"n": 1}},
        {"gen": {"n": 1, "pk": "A" * 43}},
        {"gen": {"n": 1, "pk": "AAAA"}},
        {"more": 1},
    ],
)
def test_genesis_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    payload = json.loads(tenant().links[0].payload) | change
    raw = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(KeyRefused):
        begin(replace(tenant().links[0], payload=raw))


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"{}", b"1", b'{"op":"add"}'])
def test_a_payload_that_is_no_link_is_refused(raw: bytes) -> None:
    with pytest.raises(BadShape):
        begin(Statement(raw, ()))


def test_every_missing_field_is_refused() -> None:
    states = (None, *tenant().states)
    for statement, state in zip(tenant().links, states, strict=False):
        for key in json.loads(statement.payload):
            payload = json.loads(statement.payload)
            del payload[key]
            changed = replace(statement, payload=canonical.write(payload))
            with pytest.raises(BadShape):
                begin(changed) if state is None else extend(state, changed)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + vectors.LINK_1.encode(),
        vectors.LINK_1.replace(",", ", ", 1).encode(),
        vectors.LINK_1.replace('"v":1', '"v":1.0').encode(),
        vectors.LINK_1.replace('"v":1', '"v":true').encode(),
        vectors.LINK_1.replace('"v":1', '"v":1,"v":1').encode(),
        vectors.LINK_1.replace('"op"', '"op":"add","op"').encode(),
    ],
)
def test_a_link_in_another_spelling_is_refused_though_well_signed(raw: bytes) -> None:
    unsigned = Statement(raw, ())
    laptop, cli = tenant().laptop.keys, tenant().cli.keys
    signed = sign_raw(unsigned, laptop, cli)
    with pytest.raises(NotCanonical):
        extend(tenant().states[0], signed)


def sign_raw(statement: Statement, *keys: DeviceKeys) -> Statement:
    for one in keys:
        statement = cosign(StatementType.LINK, statement, one)
    return statement


# Add


def test_an_added_device_counts_from_its_link_on() -> None:
    before = everyone()
    after = extend(before, added(before, NEW, ONE))
    assert before.device(NEW.device.kid) is None
    assert after.device(NEW.device.kid) == NEW.device
    assert after.links[:-1] == before.links
    member = after.members[NEW.device.kid]
    assert [member.active_at(seq) for seq in (0, 1, 2)] == [False, True, True]


@pytest.mark.parametrize("signers", [(), (READER,), (AGENT,), (READER, AGENT)])
def test_a_device_made_by_the_server_or_a_reader_is_refused(signers: tuple[Holder, ...]) -> None:
    state = everyone()
    with pytest.raises(WrongSigner):
        extend(state, added(state, NEW, *signers))


def test_the_new_key_signs_too() -> None:
    state = everyone()
    statement = build_add(state.next_place, NEW.device, [ONE.keys])
    with pytest.raises(WrongSigner):
        extend(state, statement)


def test_a_foreign_key_beside_the_needed_ones_is_refused() -> None:
    state = everyone()
    with pytest.raises(WrongSigner):
        extend(state, added(state, NEW, ONE, THIEF))


def test_a_readers_signature_beside_the_needed_ones_is_verified_and_does_not_count() -> None:
    state = everyone()
    statement = added(state, NEW, ONE, READER)
    assert extend(state, statement).seq == 1
    *good, _, last = statement.signatures
    bad = replace(statement.signatures[1], sig=last.sig)
    with pytest.raises(BadSignature):
        extend(state, replace(statement, signatures=(*good, bad, last)))


def test_a_key_is_never_added_twice() -> None:
    state = everyone()
    with pytest.raises(ChainRule):
        extend(state, added(state, TWO, ONE))
    state = extend(state, rotated(state, ONE, revoke=(TWO,)))
    with pytest.raises(ChainRule):
        extend(state, added(state, TWO, ONE))


def test_a_revoked_device_signs_nothing() -> None:
    state = everyone()
    state = extend(state, rotated(state, ONE, revoke=(TWO,)))
    for statement in (
        added(state, NEW, TWO),
        added(state, NEW, ONE, TWO),
        rotated(state, TWO),
        rotated(state, ONE, TWO),
    ):
        with pytest.raises(WrongSigner):
            extend(state, statement)


def test_an_ordinary_device_mints_no_recovery_alone() -> None:
    state = everyone()
    strong = holder("new", DeviceType.RECOVERY, 0)
    for signers in ((ONE,), (ONE, READER), (ONE, AGENT)):
        with pytest.raises(ChainRule):
            extend(state, added(state, strong, *signers))
    for signers in ((ONE, TWO), (WORDS,), (WORDS, READER)):
        assert extend(state, added(state, strong, *signers)).device(strong.device.kid)


def test_at_most_64_devices_are_active() -> None:
    many = [holder(f"device {number}") for number in range(MAX_DEVICES + 1)]
    with pytest.raises(ChainRule):
        account(*many)
    _, state = account(*many[:MAX_DEVICES])
    with pytest.raises(ChainRule):
        extend(state, added(state, many[MAX_DEVICES], many[0]))
    state = extend(state, rotated(state, many[0], revoke=(many[1],)))
    assert extend(state, added(state, many[MAX_DEVICES], many[0])).seq == 2


def test_a_weak_key_does_not_enter_a_chain() -> None:
    state = everyone()
    link = added(state, NEW, ONE)
    weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    for field in ("sig", "enc"):

        def weaken(payload: Any, field: str = field) -> None:
            payload["dev"][field] = weak

        with pytest.raises(BadPoint):
            extend(state, resigned(link, weaken, ONE, NEW))
    rotation = rotated(state, ONE)
    with pytest.raises(BadPoint):
        extend(state, resigned(rotation, lambda p: p["gen"].update(pk=weak), ONE))


# Rotate


def test_a_rotation_starts_the_next_generation() -> None:
    before = everyone()
    after = extend(before, rotated(before, ONE, revoke=(TWO, READER)))
    assert [one.number for one in after.generations] == [1, 2]
    assert after.generation.since_seq == 1
    assert after.device(TWO.device.kid) is None
    assert after.members[TWO.device.kid].active_at(0)
    assert not after.members[TWO.device.kid].active_at(1)
    assert before.device(TWO.device.kid) == TWO.device


def test_a_rotation_may_revoke_nobody_or_its_own_signer() -> None:
    state = everyone()
    assert len(list(extend(state, rotated(state, ONE)).active())) == 5
    assert extend(state, rotated(state, ONE, revoke=(ONE,))).device(ONE.device.kid) is None


@pytest.mark.parametrize("signers", [(), (READER,), (AGENT,), (THIEF,), (ONE, THIEF)])
def test_a_rotation_is_signed_by_an_active_admin_and_no_stranger(
    signers: tuple[Holder, ...],
) -> None:
    state = everyone()
    with pytest.raises(WrongSigner):
        extend(state, rotated(state, *signers))


def test_an_ordinary_device_cannot_revoke_recovery() -> None:
    state = everyone()
    for signers in ((ONE,), (ONE, TWO), (ONE, READER)):
        with pytest.raises(ChainRule):
            extend(state, rotated(state, *signers, revoke=(WORDS,)))
    for signers in ((WORDS,), (ONE, WORDS)):
        assert extend(state, rotated(state, *signers, revoke=(WORDS, ONE))).seq == 1


def test_an_admin_remains() -> None:
    state = everyone()
    with pytest.raises(ChainRule):
        extend(state, rotated(state, WORDS, revoke=(WORDS, ONE, TWO)))


def test_only_an_active_device_is_revoked() -> None:
    state = everyone()
    with pytest.raises(ChainRule):
        extend(state, rotated(state, ONE, revoke=(THIEF,)))
    state = extend(state, rotated(state, ONE, revoke=(TWO,)))
    with pytest.raises(ChainRule):
        extend(state, rotated(state, ONE, revoke=(TWO,)))


def test_the_revoked_are_named_sorted_and_once() -> None:
    state = everyone()
    kids = sorted([TWO.device.kid, READER.device.kid])
    link = rotated(state, ONE, revoke=(TWO, READER))
    others: list[Any] = [kids[::-1], [kids[0]] * 2, [kids[0] + "="], ["AAAA"], "AAAA", [1]]
    for revoke in others:

        def rename(payload: Any, revoke: Any = revoke) -> None:
            payload["revoke"] = revoke

        with pytest.raises(KeyRefused):
            extend(state, resigned(link, rename, ONE))


@pytest.mark.parametrize("number", [1, 3])
def test_the_generation_is_the_next_one(number: int) -> None:
    state = everyone()
    key = account_seed("other", number).public
    with pytest.raises(ChainRule):
        extend(state, build_rotate(state.next_place, [], (number, key), [ONE.keys]))


def test_a_generation_key_is_never_used_again() -> None:
    state = everyone()
    key = state.generation.key
    state = extend(state, rotated(state, ONE))
    for used in (key, state.generation.key):
        with pytest.raises(ChainRule):
            extend(state, build_rotate(state.next_place, [], (3, used), [ONE.keys]))


# Place and pins


def test_a_replayed_or_skipping_link_is_out_of_sequence() -> None:
    with pytest.raises(WrongSequence):
        extend(tenant().states[1], tenant().links[1])
    with pytest.raises(WrongSequence):
        extend(tenant().states[0], tenant().links[2])


def test_a_link_of_another_account_is_refused() -> None:
    state = everyone()
    place = replace(state.next_place, account_id=AccountId(vectors.ACCOUNT))
    with pytest.raises(WrongAccount):
        extend(state, build_add(place, NEW.device, [ONE.keys, NEW.keys]))


def test_of_two_links_with_one_number_the_second_is_refused() -> None:
    state = everyone()
    first, second = rotated(state, ONE), rotated(state, TWO, seed="rival")
    after = extend(state, first)
    with pytest.raises(WrongSequence):
        extend(after, second)
    place = replace(after.next_place, prev=extend(state, second).head)
    with pytest.raises(Forked):
        extend(after, build_add(place, NEW.device, [ONE.keys, NEW.keys]))


def test_a_chain_shorter_than_the_pin_is_rolled_back() -> None:
    pin = tenant().chain.pin
    assert verify_chain(tenant().links, pin=pin).pin == pin
    with pytest.raises(RolledBack):
        verify_chain(tenant().links[:2], pin=pin)


def test_another_link_at_the_pin_is_a_fork() -> None:
    state = tenant().states[1]
    sibling = extend(state, rotated(state, tenant().recovery, revoke=(tenant().cli,)))
    grown = extend(sibling, rotated(sibling, tenant().recovery))
    for other in (sibling, grown):
        with pytest.raises(Forked):
            check_pin(other, tenant().chain.pin)


def test_a_named_link_is_known_unknown_or_another() -> None:
    chain = tenant().chain
    for state in tenant().states:
        chain.check_contains(state.pin)
    with pytest.raises(UnknownHead):
        tenant().states[0].check_contains(chain.pin)
    with pytest.raises(Forked):
        chain.check_contains(Pin(1, Digest("00" * 32)))


def test_a_chain_ends_after_ten_thousand_links() -> None:
    state = everyone()
    filler = tuple(Digest(f"{number:064x}") for number in range(MAX_LINKS - 1))
    almost = replace(state, links=filler)
    full = extend(almost, rotated(almost, ONE))
    assert len(full.links) == MAX_LINKS
    with pytest.raises(ChainRule):
        extend(full, rotated(full, ONE))


def test_a_provider_has_an_agent_in_its_chain() -> None:
    device = provider().chain.device(Kid(vectors.AGENT_KID))
    assert device is not None
    assert device.is_agent
    assert not device.is_admin


def test_a_state_cannot_be_changed_in_place() -> None:
    members: Any = everyone().members
    with pytest.raises(TypeError):
        members[THIEF.device.kid] = members[ONE.device.kid]

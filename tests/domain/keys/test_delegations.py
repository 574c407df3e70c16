from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import extend
from decent_cloud.domain.keys.delegations import (
    Delegation,
    Entry,
    Revocation,
    Standing,
    advance,
    parse_delegation,
    parse_revocation,
    replay,
    sign_delegation,
    sign_revocation,
    verify_delegation,
    verify_revocation,
)
from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.domain.keys.errors import (
    BadShape,
    BadSignature,
    KeyRefused,
    WrongAccount,
    WrongSequence,
    WrongSigner,
)
from decent_cloud.domain.keys.statements import Statement, StatementType, digest_of
from decent_cloud.kernel.ids import Digest, Kid, PoolId
from tests.domain.keys.family import Holder, account, added, holder, rotated

ONE, TWO = holder("one"), holder("two")
READER = holder("reader", DeviceType.CLI, 2)
AGENT = holder("agent", DeviceType.AGENT, 2)
CHAIN = account(ONE, TWO, READER, AGENT)[1]
NOW_MS = 1_800_000_000_000

GRANT = Delegation(
    account_id=CHAIN.account_id,
    agent=AGENT.device.kid,
    not_after_s=0,
    permissions=("health_check", "heartbeat"),
    pool_id=PoolId("p1"),
    prev=None,
)
END = Revocation(CHAIN.account_id, AGENT.device.kid, None)


def granted(prev: Digest | None = None, by: Holder = ONE, not_after_s: int = 0) -> Entry:
    record = replace(GRANT, prev=prev, not_after_s=not_after_s)
    return StatementType.DELEGATION, sign_delegation(record, by.keys)


def ended(prev: Digest | None, by: Holder = ONE) -> Entry:
    return StatementType.REVOCATION, sign_revocation(replace(END, prev=prev), by.keys)


def name(entry: Entry) -> Digest:
    return digest_of(entry[0], entry[1].payload)


def test_a_delegation_and_a_revocation_read_back() -> None:
    assert verify_delegation(granted()[1], CHAIN) == GRANT
    assert verify_revocation(ended(None)[1], CHAIN) == END


@pytest.mark.parametrize("signer", [READER, AGENT, holder("thief")])
def test_only_an_admin_device_delegates_or_revokes(signer: Holder) -> None:
    with pytest.raises(WrongSigner):
        verify_delegation(granted(by=signer)[1], CHAIN)
    with pytest.raises(WrongSigner):
        verify_revocation(ended(None, by=signer)[1], CHAIN)


def test_neither_passes_for_the_other() -> None:
    with pytest.raises(BadSignature):
        verify_revocation(granted()[1], CHAIN)
    with pytest.raises(BadSignature):
        verify_delegation(ended(None)[1], CHAIN)


def test_neither_speaks_for_another_account() -> None:
    other = account(ONE, salt=8)[1]
    with pytest.raises(WrongAccount):
        verify_delegation(granted()[1], other)
    with pytest.raises(WrongAccount):
        verify_revocation(ended(None)[1], other)


WRONG: list[dict[str, Json]] = [
    {"agent": "AAAA"},
    {"agent": 1},
    {"prev": "AAAA"},
    {"acct": ""},
    {"v": 2},
    {"more": 1},
]
WRONG_GRANT: list[dict[str, Json]] = [
    *WRONG,
    {"perms": ["b", "a"]},
    {"perms": ["a", "a"]},
    {"perms": ["é"]},
    {"perms": "a"},
    {"not_after": "0"},
    {"pool": 1},
]


@pytest.mark.parametrize("change", WRONG_GRANT)
def test_a_delegation_with_a_wrong_value_is_refused(change: dict[str, Json]) -> None:
    with pytest.raises(KeyRefused):
        parse_delegation(GRANT.to_json() | change)


@pytest.mark.parametrize("change", WRONG)
def test_a_revocation_with_a_wrong_value_is_refused(change: dict[str, Json]) -> None:
    with pytest.raises(KeyRefused):
        parse_revocation(END.to_json() | change)


def test_what_no_reader_takes_is_not_signed() -> None:
    with pytest.raises(BadShape):
        sign_delegation(replace(GRANT, permissions=("b", "a")), ONE.keys)
    with pytest.raises(KeyRefused):
        sign_revocation(replace(END, agent=Kid("x")), ONE.keys)


def start() -> Standing:
    return Standing(CHAIN.account_id, AGENT.device.kid)


def test_an_agent_works_from_its_delegation_to_its_revocation() -> None:
    assert start().live(CHAIN, NOW_MS) is None
    first = granted()
    standing = advance(start(), first, CHAIN)
    assert standing.live(CHAIN, NOW_MS) == GRANT
    second = ended(name(first))
    standing = advance(standing, second, CHAIN)
    assert standing.live(CHAIN, NOW_MS) is None
    third = granted(name(second))
    standing = advance(standing, third, CHAIN)
    assert standing.last == name(third)
    assert standing.live(CHAIN, NOW_MS) == replace(GRANT, prev=name(second))
    assert replay(AGENT.device.kid, [first, second, third], CHAIN) == standing


def test_a_statement_that_does_not_follow_the_last_one_is_refused() -> None:
    first = granted()
    standing = advance(start(), first, CHAIN)
    for entry in (first, ended(None), granted(Digest("00" * 32))):
        with pytest.raises(WrongSequence):
            advance(standing, entry, CHAIN)
    with pytest.raises(WrongSequence):
        advance(start(), ended(name(first)), CHAIN)
    with pytest.raises(WrongSequence):
        advance(Standing(CHAIN.account_id, TWO.device.kid), first, CHAIN)


def test_another_type_of_statement_is_no_entry() -> None:
    with pytest.raises(BadShape):
        advance(start(), (StatementType.ORDER, granted()[1]), CHAIN)


def test_a_delegation_ends_with_its_last_second() -> None:
    end_s = NOW_MS // 1000
    standing = advance(start(), granted(not_after_s=end_s), CHAIN)
    assert standing.live(CHAIN, NOW_MS + 999)
    assert standing.live(CHAIN, NOW_MS + 1000) is None


def test_an_agent_outside_the_chain_has_no_authority() -> None:
    standing = advance(start(), granted(), CHAIN)
    assert standing.live(extend(CHAIN, rotated(CHAIN, ONE, revoke=(AGENT,))), NOW_MS) is None
    assert standing.live(account(ONE, AGENT, salt=8)[1], NOW_MS) is None


def test_a_device_that_is_no_agent_has_no_authority() -> None:
    record = replace(GRANT, agent=TWO.device.kid)
    entry = (StatementType.DELEGATION, sign_delegation(record, ONE.keys))
    standing = advance(Standing(CHAIN.account_id, TWO.device.kid), entry, CHAIN)
    assert standing.live(CHAIN, NOW_MS) is None


def test_a_history_holds_though_an_earlier_signer_is_gone() -> None:
    first = granted(by=TWO)
    second = ended(name(first), by=TWO)
    third = granted(name(second))
    later = extend(CHAIN, rotated(CHAIN, ONE, revoke=(TWO,)))
    agent = AGENT.device.kid
    assert replay(agent, [first, second, third], later).live(later, NOW_MS)
    assert replay(agent, [first, second], later).delegation is None
    # The delegation in force dies with the device that gave it.
    with pytest.raises(WrongSigner):
        replay(agent, [first], later)
    with pytest.raises(WrongSequence):
        replay(agent, [second, third], later)
    assert replay(agent, [], later).last is None


def test_a_fresh_agent_joins_and_is_delegated_in_one_go() -> None:
    new = holder("agent 2", DeviceType.AGENT, 2)
    after = extend(CHAIN, added(CHAIN, new, ONE))
    record = replace(GRANT, agent=new.device.kid)
    entry: tuple[StatementType, Statement] = (
        StatementType.DELEGATION,
        sign_delegation(record, ONE.keys),
    )
    standing = advance(Standing(after.account_id, new.device.kid), entry, after)
    assert standing.live(after, NOW_MS) == record
    assert standing.live(CHAIN, NOW_MS) is None


def test_a_flipped_bit_in_any_byte_of_a_delegation_is_refused() -> None:
    statement: Any = granted()[1]
    for bit in range(0, 8 * len(statement.payload), 5):
        changed = bytearray(statement.payload)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            verify_delegation(replace(statement, payload=bytes(changed)), CHAIN)

"""Changed bytes of a chain never pass: bit by bit, and against a second reading of the rules."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState, begin, extend, verify_chain
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.links import build_add, build_rotate
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    parse_statement,
    sign_statement,
    statement_from_json,
)
from tests.domain.keys.family import Holder, account, account_seed, holder, tenant


@pytest.mark.parametrize("seq", [0, 1, 2])
def test_a_flipped_bit_in_any_byte_of_a_link_is_refused(seq: int) -> None:
    raw = tenant().links[seq].encode()
    for bit in range(seq, 8 * len(raw), 3):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KeyRefused):
            follow(seq, parse_statement(bytes(changed)))


def follow(seq: int, statement: Statement) -> ChainState:
    return begin(statement) if seq == 0 else extend(tenant().states[seq - 1], statement)


_edits = st.tuples(
    st.integers(0, 2), st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)
)


@given(_edits)
def test_an_edited_link_is_refused_or_the_very_same(edit: tuple[int, int, bytes, int]) -> None:
    seq, at, insert, drop = edit
    raw = tenant().links[seq].encode()
    at %= len(raw)
    changed = raw[:at] + insert + raw[at + drop :]
    try:
        state = follow(seq, parse_statement(changed))
    except KeyRefused:
        return
    assert changed == raw
    assert state == tenant().states[seq]


@given(_edits)
def test_an_edited_link_in_a_loosely_read_body_is_refused_or_means_the_same(
    edit: tuple[int, int, bytes, int],
) -> None:
    seq, at, insert, drop = edit
    raw = tenant().links[seq].encode()
    at %= len(raw)
    try:
        value = json.loads(raw[:at] + insert + raw[at + drop :])
    except (ValueError, RecursionError):
        return
    try:
        statement = statement_from_json(value)
        state = follow(seq, statement)
    except KeyRefused:
        return
    assert statement == tenant().links[seq]
    assert state == tenant().states[seq]


_scalars: st.SearchStrategy[Json] = st.one_of(
    st.integers(0, 3), st.sampled_from(["", "AAAA", "agent", "rotate", "A" * 22, "A" * 43])
)


def _slots(value: Json) -> list[tuple[dict[str, Json] | list[Json], str | int]]:
    found: list[tuple[dict[str, Json] | list[Json], str | int]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(value, key), *_slots(inner)]
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += [(value, index), *_slots(inner)]
    return found


@given(st.integers(0, 2), st.integers(0, 100), _scalars)
def test_a_replaced_value_under_fresh_signatures_is_refused_or_breaks_no_rule(
    seq: int, slot: int, value: Json
) -> None:
    original = tenant().links[seq]
    payload = canonical.parse(original.payload)
    slots = _slots(payload)
    target, key = slots[slot % len(slots)]
    target[key] = value  # type: ignore[index]
    keys = {one.device.kid: one.keys for one in (tenant().laptop, tenant().recovery, tenant().cli)}
    signers = [keys[one.kid] for one in original.signatures]
    statement = sign_statement(StatementType.LINK, payload, signers)
    try:
        state = follow(seq, statement)
    except KeyRefused:
        return
    # What is left to choose freely: a rank, a type, a salt's or a key's value of the right form.
    assert (state.seq, state.links[:seq]) == (seq, tenant().states[seq].links[:seq])
    assert state.members.keys() == tenant().states[seq].members.keys()
    assert any(device.is_admin for device in state.active())


# A second reading of the rules, without bytes, keys or signatures.


@dataclass
class Model:
    ranks: dict[str, int]
    active: set[str]
    generation: int = 1
    ever: set[str] = field(default_factory=set)

    def admins(self, signers: set[str]) -> list[int]:
        return [self.ranks[one] for one in signers & self.active if self.ranks[one] < 2]

    def allows_add(self, new: str, signers: set[str]) -> bool:
        ranks = self.admins(signers)
        return (
            new not in self.ever
            and new in signers
            and signers <= self.active | {new}
            and bool(ranks)
            and (self.ranks[new] > 0 or 0 in ranks or len(ranks) > 1)
        )

    def allows_rotate(self, revoke: set[str], signers: set[str]) -> bool:
        ranks = self.admins(signers)
        return (
            signers <= self.active
            and bool(ranks)
            and revoke <= self.active
            and all(self.ranks[one] >= min(ranks) for one in revoke)
            and any(self.ranks[one] < 2 for one in self.active - revoke)
        )


_RANKS = {"a": 0, "b": 1, "c": 1, "d": 2, "e": 2, "f": 0, "g": 1}
_HOLDERS: dict[str, Holder] = {
    name: holder(f"model {name}", DeviceType.AGENT if name == "e" else DeviceType.CLI, rank)
    for name, rank in _RANKS.items()
}
_some = st.sets(st.sampled_from(sorted(_RANKS)), max_size=3)
_steps = st.lists(
    st.tuples(st.sampled_from([*sorted(_RANKS), "rotate"]), _some, _some), max_size=10
)


@settings(max_examples=60)
@given(st.sets(st.sampled_from("bcde"), max_size=3), _steps)
def test_a_chain_takes_exactly_the_links_that_the_rules_allow(
    founders: set[str], steps: list[tuple[str, set[str], set[str]]]
) -> None:
    founders = founders | {"a"}
    links, state = account_of(founders)
    model = Model(dict(_RANKS), set(founders), ever=set(founders))
    for op, signers, revoke in steps:
        if op == "rotate":
            allowed = model.allows_rotate(revoke, signers)
            statement = rotation(state, model.generation + 1, revoke, signers)
        else:
            who = signers | {op} if revoke else signers
            allowed = model.allows_add(op, who)
            statement = build_add(state.next_place, _HOLDERS[op].device, keys_of(who))
        try:
            state = extend(state, statement)
        except KeyRefused:
            assert not allowed
            continue
        assert allowed
        links.append(statement)
        if op == "rotate":
            model.active -= revoke
            model.generation += 1
        else:
            model.active.add(op)
            model.ever.add(op)
        assert {d.kid for d in state.active()} == {_HOLDERS[n].device.kid for n in model.active}
    assert verify_chain(links, account_id=state.account_id, pin=state.pin) == state


def account_of(names: set[str]) -> tuple[list[Statement], ChainState]:
    statement, state = account(*(_HOLDERS[name] for name in sorted(names)))
    return [statement], state


def keys_of(names: set[str]) -> list[DeviceKeys]:
    return [_HOLDERS[name].keys for name in sorted(names)]


def rotation(state: ChainState, number: int, revoke: set[str], signers: set[str]) -> Statement:
    kids = [_HOLDERS[name].device.kid for name in revoke]
    generation = (number, account_seed(f"model{number}", number).public)
    return build_rotate(state.next_place, kids, generation, keys_of(signers))

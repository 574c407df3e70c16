from __future__ import annotations

import pytest

from decent_cloud.domain.keys import b64u, hpke
from decent_cloud.domain.keys.chain import ChainState, extend
from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.domain.keys.errors import BadShape, CannotOpen, ChainRule
from decent_cloud.domain.keys.seeds import (
    AccountSeed,
    check_boxes,
    open_old_seed,
    open_seed_box,
    required_boxes,
    seal_old_seed,
    seal_seed,
    walk_back,
)
from decent_cloud.kernel.ids import AccountId, Kid
from tests.domain.keys.family import Holder, account, account_seed, added, holder, rotated, tenant

ONE = holder("one")
WORDS = holder("words", DeviceType.RECOVERY, 0)
READER = holder("reader", DeviceType.CLI, 2)
AGENT = holder("agent", DeviceType.AGENT, 2)
OLD, NEWER = account_seed("seed1", 1), account_seed("seed2", 2)


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def box() -> bytes:
    return seal_seed(NEWER, tenant().chain.account_id, tenant().cli.device)


def test_a_box_opens_on_its_device() -> None:
    assert len(box()) == 80
    assert open_seed_box(box(), tenant().cli.keys, tenant().chain, 2) == NEWER


def test_a_box_opens_on_no_other_device_account_or_generation() -> None:
    chain = tenant().chain
    _, other = account(ONE)
    with pytest.raises(CannotOpen):
        open_seed_box(box(), tenant().recovery.keys, chain, 2)
    with pytest.raises(CannotOpen):
        open_seed_box(box(), tenant().cli.keys, other, 2)
    for generation in (1, 3):
        with pytest.raises(CannotOpen):
            open_seed_box(box(), tenant().cli.keys, chain, generation)


def test_a_box_with_a_seed_that_is_not_the_chains_is_refused() -> None:
    foreign = seal_seed(AccountSeed(2, bytes(32)), tenant().chain.account_id, tenant().cli.device)
    with pytest.raises(CannotOpen):
        open_seed_box(foreign, tenant().cli.keys, tenant().chain, 2)
    unknown = seal_seed(account_seed("x", 9), tenant().chain.account_id, tenant().cli.device)
    with pytest.raises(CannotOpen):
        open_seed_box(unknown, tenant().cli.keys, tenant().chain, 9)


def test_a_box_with_something_else_inside_is_refused() -> None:
    device = tenant().cli.device
    context = (
        b"dcx/seedbox/v1\0"
        + bytes.fromhex(tenant().chain.account_id)
        + bytes([0, 0, 0, 2])
        + b64u.decode(device.kid)
    )
    for inside in (b"", bytes(31), NEWER.secret + b"\0"):
        sealed = hpke.seal(inside, device.enc, context)
        with pytest.raises(CannotOpen):
            open_seed_box(sealed, tenant().cli.keys, tenant().chain, 2)


def test_every_flipped_bit_of_a_box_is_refused() -> None:
    sealed = box()
    for bit in range(8 * len(sealed)):
        # The topmost bit of an X25519 key is ignored in the exchange but bound by the derivation.
        with pytest.raises(CannotOpen):
            open_seed_box(flipped(sealed, bit), tenant().cli.keys, tenant().chain, 2)


@pytest.mark.parametrize("length", [0, 31, 47, 79])
def test_a_cut_box_is_refused(length: int) -> None:
    with pytest.raises(CannotOpen):
        open_seed_box(box()[:length], tenant().cli.keys, tenant().chain, 2)


def test_every_changed_byte_of_an_old_seed_is_refused() -> None:
    sealed = seal_old_seed(OLD, NEWER, tenant().chain.account_id)
    assert len(sealed) == 48
    for bit in range(8 * len(sealed)):
        with pytest.raises(CannotOpen):
            open_old_seed(flipped(sealed, bit), NEWER, tenant().chain)
    for length in (0, 15, 47):
        with pytest.raises(CannotOpen):
            open_old_seed(sealed[:length], NEWER, tenant().chain)


def test_an_old_seed_belongs_to_its_account_and_generation() -> None:
    sealed = seal_old_seed(OLD, NEWER, tenant().chain.account_id)
    _, other = account(ONE)
    with pytest.raises(CannotOpen):
        open_old_seed(sealed, NEWER, other)
    with pytest.raises(CannotOpen):
        open_old_seed(sealed, AccountSeed(3, NEWER.secret), tenant().chain)
    with pytest.raises(CannotOpen):
        open_old_seed(sealed, AccountSeed(1, NEWER.secret), tenant().chain)
    with pytest.raises(CannotOpen):
        open_old_seed(sealed, OLD, tenant().chain)


def test_a_planted_old_seed_is_refused() -> None:
    planted = seal_old_seed(AccountSeed(1, bytes(32)), NEWER, tenant().chain.account_id)
    with pytest.raises(CannotOpen):
        open_old_seed(planted, NEWER, tenant().chain)


def test_only_the_seed_before_is_sealed_as_old() -> None:
    for old in (NEWER, account_seed("seed3", 3)):
        with pytest.raises(BadShape):
            seal_old_seed(old, NEWER, tenant().chain.account_id)


def test_a_new_device_walks_back_to_the_first_seed() -> None:
    _, state = account(ONE, seed="next1")
    seeds = [account_seed("next1", 1)]
    sealed: dict[int, bytes] = {}
    for number in (2, 3, 4):
        state = extend(state, rotated(state, ONE))
        seeds.append(account_seed(f"next{number}", number))
        sealed[number - 1] = seal_old_seed(seeds[-2], seeds[-1], state.account_id)
    assert walk_back(seeds[-1], sealed, state) == {one.generation: one for one in seeds}
    assert walk_back(seeds[0], {}, state) == {1: seeds[0]}
    del sealed[2]
    with pytest.raises(CannotOpen):
        walk_back(seeds[-1], sealed, state)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_has_32_bytes_and_does_not_show_when_printed(length: int) -> None:
    assert repr(OLD) == "AccountSeed(generation=1)"
    with pytest.raises(BadShape):
        AccountSeed(1, bytes(length))


def kids(*holders: Holder) -> set[Kid]:
    return {one.device.kid for one in holders}


def boxes_for(chain: ChainState) -> dict[Kid, bytes]:
    return dict.fromkeys(required_boxes(chain), bytes(80))


def test_a_generation_needs_a_box_for_all_who_stay_except_agents() -> None:
    _, first = account(ONE, WORDS, READER, AGENT)
    assert required_boxes(first) == kids(ONE, WORDS, READER)
    second = extend(first, rotated(first, ONE, revoke=(READER,)))
    assert required_boxes(second) == kids(ONE, WORDS)


def test_an_added_device_needs_the_one_box_and_an_agent_none() -> None:
    _, state = account(ONE, WORDS)
    state = extend(state, added(state, READER, ONE))
    assert required_boxes(state) == kids(READER)
    check_boxes(state, boxes_for(state), None)
    state = extend(state, added(state, AGENT, ONE))
    assert required_boxes(state) == frozenset()
    check_boxes(state, {}, None)


def test_a_link_without_all_its_boxes_is_refused() -> None:
    _, first = account(ONE, WORDS, AGENT)
    second = extend(first, rotated(first, ONE))
    check_boxes(first, boxes_for(first), None)
    check_boxes(second, boxes_for(second), bytes(48))
    missing = boxes_for(second)
    del missing[WORDS.device.kid]
    extra = boxes_for(second) | {AGENT.device.kid: bytes(80)}
    short = boxes_for(second) | {WORDS.device.kid: bytes(79)}
    for boxes in (missing, extra, short, {}):
        with pytest.raises(ChainRule):
            check_boxes(second, boxes, bytes(48))
    for chain, old in ((first, bytes(48)), (second, None), (second, bytes(47))):
        with pytest.raises(ChainRule):
            check_boxes(chain, boxes_for(chain), old)


def test_a_box_for_a_malformed_account_is_not_made() -> None:
    with pytest.raises(BadShape):
        seal_seed(OLD, AccountId("no account"), ONE.device)

"""Resets of passwords and SSH keys, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.contracts.reset import Reset
from decent_cloud.kernel.errors import AlreadyExists, StaleVersion
from decent_cloud.kernel.ids import ContractId, PoolId, ResetId
from decent_cloud.kernel.status import ResetState, ResetSubject
from tests.contracts.conftest import Held
from tests.contracts.samples import POOL, contract, each, reset, step

C1, C2 = ContractId("c1"), ContractId("c2")


def add(held: Held, *resets: Reset) -> None:
    held.write(lambda uow: each(uow.resets.add, resets))


@pytest.fixture(autouse=True)
def two_contracts(held: Held) -> None:
    rows = (contract("c1"), contract("c2"))
    held.write(lambda uow: each(lambda row: uow.contracts.add(row, step(row)), rows))


def ended(row: Reset, state: ResetState = ResetState.VERIFIED) -> Reset:
    return replace(row, state=state, deadline_ms=0)


def test_a_reset_comes_back_whole_and_is_replaced_by_version(held: Held) -> None:
    row = reset()
    add(held, row)
    assert held.read(lambda uow: uow.resets.get(row.id)) == row
    assert held.read(lambda uow: uow.resets.get(ResetId("none"))) is None
    claimed = replace(row, state=ResetState.CLAIMED, agent="kid", detail="x", failure="", n=2)
    held.write(lambda uow: uow.resets.save(claimed))
    assert held.read(lambda uow: uow.resets.get(row.id)) == replace(claimed, version=2)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.resets.save(claimed))


def test_a_contract_has_one_open_reset(held: Held) -> None:
    add(held, ended(reset(number=1)), reset(number=2), reset("c2"))
    with pytest.raises(AlreadyExists):
        add(held, reset(number=3))
    with pytest.raises(AlreadyExists):
        add(held, ended(reset(number=2)))
    held.write(lambda uow: uow.resets.save(ended(reset(number=2), ResetState.FAILED)))
    add(held, reset(number=3))
    assert [row.id for row in held.read(lambda uow: uow.resets.of_contract(C1))] == [
        "c1.reset1",
        "c1.reset2",
        "c1.reset3",
    ]


def test_a_pool_shows_its_open_ones(held: Held) -> None:
    claimed = reset("c2", state=ResetState.CLAIMED)
    add(held, ended(reset(number=1)), reset(number=2), claimed)
    assert held.read(lambda uow: uow.resets.open_of_pool(POOL)) == {
        C1: reset(number=2),
        C2: claimed,
    }
    assert held.read(lambda uow: uow.resets.open_of_pool(PoolId("w9"))) == {}


def test_the_most_overdue_comes_first_and_a_gap_moves_all_open_ones(held: Held) -> None:
    late, later = reset(deadline_ms=500), reset("c2", deadline_ms=400)
    add(held, late, later, ended(reset(number=2)))
    assert held.read(lambda uow: uow.resets.due(399, 10)) == ()
    assert held.read(lambda uow: uow.resets.due(500, 10)) == (later, late)
    assert held.read(lambda uow: uow.resets.due(500, 1)) == (later,)
    assert held.write(lambda uow: uow.resets.shift_deadlines(1_000)) == 2
    assert held.read(lambda uow: uow.resets.due(1_400, 10)) == (
        replace(later, deadline_ms=1_400, version=2),
    )


def keys(of: str, number: int, n: int, **changes: object) -> Reset:
    """Return an ended reset of SSH keys with list `n`."""
    values = {"subject": ResetSubject.SSH_KEYS, "statement": f"list {n}", "n": n, **changes}
    return ended(reset(of, number=number, **values))


def test_the_newest_key_list_of_each_contract_is_shown(held: Held) -> None:
    add(held, ended(reset(number=1, n=9)), keys("c1", 2, 1), keys("c1", 3, 2), keys("c2", 1, 1))
    found = held.read(lambda uow: uow.resets.key_lists((C1, C2, ContractId("c3"))))
    assert found == {C1: keys("c1", 3, 2), C2: keys("c2", 1, 1)}
    assert held.read(lambda uow: uow.resets.key_lists((ContractId("c3"),))) == {}
    assert held.read(lambda uow: uow.resets.key_lists(())) == {}


def test_a_contract_has_one_key_list_of_a_number(held: Held) -> None:
    add(held, keys("c1", 1, 1), ended(reset(number=2, n=1)))
    with pytest.raises(AlreadyExists):
        add(held, keys("c1", 3, 1, statement="another"))
    add(held, keys("c1", 3, 2))

"""Contracts, terms, histories, credentials and assignments, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.contracts.contract import Contract, SealedCredential
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.kernel.errors import AlreadyExists, Conflict, StaleVersion
from decent_cloud.kernel.ids import ContractId, Digest, PoolId
from decent_cloud.kernel.paging import PageRequest
from decent_cloud.kernel.status import AssignmentState, ContractState
from tests.contracts.conftest import Held
from tests.contracts.samples import (
    POOL,
    PROVIDER,
    STRANGER,
    TENANT,
    assignment,
    contract,
    each,
    step,
    term,
)

C1 = ContractId("c1")


def add(held: Held, *contracts: Contract) -> None:
    held.write(lambda uow: each(lambda row: uow.contracts.add(row, step(row)), contracts))


def test_a_contract_comes_back_whole(held: Held) -> None:
    row = contract(host_keys=("k1", "k2"), renews=True, deadline_ms=2**52)
    add(held, row)
    assert held.read(lambda uow: uow.contracts.get(C1)) == row
    assert held.write(lambda uow: uow.contracts.get(C1)) == row


def test_traffic_is_kept_in_the_place_of_what_was_there(held: Held) -> None:
    assert held.read(lambda uow: uow.contracts.traffic(C1)) is None
    row = Traffic(C1, 1, 2**52, 3, 4, 5, 6, 7)
    for kept in (row, replace(row, run_sent_bytes=8, at_ms=9)):
        held.write(lambda uow, kept=kept: uow.contracts.put_traffic(kept))  # type: ignore[misc]
        assert held.read(lambda uow: uow.contracts.traffic(C1)) == kept


def test_a_save_appends_to_the_history(held: Held) -> None:
    row = contract()
    add(held, row)
    paid = replace(row, state=ContractState.ACCEPTED)
    after = replace(paid, version=2)
    held.write(lambda uow: uow.contracts.save(paid, step(after, event="settled")))
    assert held.read(lambda uow: uow.contracts.get(C1)) == after
    assert held.read(lambda uow: uow.contracts.history(C1)) == (
        step(row),
        step(after, event="settled"),
    )


def test_a_stale_save_changes_nothing(held: Held) -> None:
    row = contract()
    add(held, row)
    held.write(lambda uow: uow.contracts.save(row, step(replace(row, version=2))))
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.contracts.save(row, step(replace(row, version=3))))
    assert len(held.read(lambda uow: uow.contracts.history(C1))) == 2


def test_a_signed_order_makes_one_contract(held: Held) -> None:
    row = contract()
    add(held, row)
    with pytest.raises(AlreadyExists):
        add(held, replace(contract("c2"), digest=row.digest))
    with pytest.raises(AlreadyExists):
        add(held, replace(row, digest=Digest("other")))
    assert held.read(lambda uow: uow.contracts.by_digest(row.digest)) == row


def test_an_extension_finds_its_contract_and_is_used_once(held: Held) -> None:
    add(held, contract(), contract("c2"))
    held.write(lambda uow: uow.contracts.add_term(term()))
    held.write(lambda uow: uow.contracts.add_term(term("c1", 2, digest="longer")))
    found = held.read(lambda uow: uow.contracts.by_digest(Digest("longer")))
    assert found == contract()
    assert held.read(lambda uow: uow.contracts.by_digest(Digest("never"))) is None
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.contracts.add_term(term("c2", 1, digest="longer")))
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.contracts.add_term(term("c1", 2, digest="second")))
    assert [row.ordinal for row in held.read(lambda uow: uow.contracts.terms(C1))] == [1, 2]


def test_a_term_is_replaced_by_version(held: Held) -> None:
    add(held, contract())
    held.write(lambda uow: uow.contracts.add_term(term()))
    paid = replace(term(), paid=True)
    held.write(lambda uow: uow.contracts.save_term(paid))
    assert held.read(lambda uow: uow.contracts.terms(C1)) == (replace(paid, version=2),)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.contracts.save_term(paid))


def test_lists_are_newest_first_and_of_one_party(held: Held) -> None:
    active = {"state": ContractState.ACTIVE}
    add(held, contract("c1"), contract("c2", **active), contract("c3", tenant=STRANGER, **active))

    def mine(cursor: str) -> tuple[list[str], str]:
        asked = PageRequest(cursor, 1)
        page = held.read(lambda uow: uow.contracts.of_tenant(TENANT, asked))
        return [row.id for row in page.items], page.next

    assert mine("") == (["c2"], "c2")
    assert mine("c2") == (["c1"], "")
    page = held.read(lambda uow: uow.contracts.of_provider(PROVIDER, (), PageRequest()))
    assert [row.id for row in page.items] == ["c3", "c2", "c1"]
    states = (ContractState.ACTIVE, ContractState.LAPSED)
    page = held.read(lambda uow: uow.contracts.of_provider(PROVIDER, states, PageRequest()))
    assert [row.id for row in page.items] == ["c3", "c2"]
    pool = held.read(lambda uow: uow.contracts.of_pool(POOL, states))
    assert [row.id for row in pool] == ["c2", "c3"]
    assert held.read(lambda uow: uow.contracts.of_pool(PoolId("w9"), states)) == ()
    assert held.read(lambda uow: uow.contracts.unpaid_of(TENANT)) == 1
    counts = held.read(lambda uow: uow.contracts.count_by_state())
    assert sum(counts.values()) == 3
    assert counts[ContractState.REQUESTED] == 1
    assert held.read(lambda uow: uow.contracts.between(PROVIDER, STRANGER))
    assert not held.read(lambda uow: uow.contracts.between(TENANT, STRANGER))


def test_those_that_earn_are_walked_in_order(held: Held) -> None:
    add(held, *(contract(f"c{n}", state=ContractState.ACTIVE) for n in range(4)), contract("c9"))
    assert held.read(lambda uow: uow.contracts.releasable(2, "")) == ("c0", "c1")
    assert held.read(lambda uow: uow.contracts.releasable(9, "c1")) == ("c2", "c3")


def test_the_most_overdue_comes_first(held: Held) -> None:
    add(
        held,
        contract("c1", deadline_ms=300),
        contract("c2", deadline_ms=100),
        contract("c3", deadline_ms=0),
        contract("c4", deadline_ms=301),
    )
    assert [row.id for row in held.read(lambda uow: uow.contracts.due(300, 9))] == ["c2", "c1"]
    assert [row.id for row in held.read(lambda uow: uow.contracts.due(300, 1))] == ["c2"]


def test_a_gap_moves_open_deadlines_and_spares_what_ended_inside_it(held: Held) -> None:
    active = {"state": ContractState.ACTIVE}
    add(
        held,
        contract("c1", deadline_ms=1_500),
        contract("c2", deadline_ms=0),
        contract("c3", deadline_ms=1_500, **active),
        contract("c4", deadline_ms=900, **active),
        contract("c5", deadline_ms=9_000, **active),
    )
    assert held.write(lambda uow: uow.contracts.shift_deadlines(1_000, 1_000, 5_600)) == 2
    deadlines = {
        row.id: row.deadline_ms for row in held.read(lambda uow: uow.contracts.due(10_000, 9))
    }
    assert deadlines == {"c1": 2_500, "c3": 5_600, "c4": 900, "c5": 9_000}


def test_the_newest_credential_wins_and_none_is_overwritten(held: Held) -> None:
    first = SealedCredential(C1, 1, 1, "sealed 1", "agent", 1_000)
    add(held, contract())
    held.write(lambda uow: uow.contracts.add_credential(replace(first, n=2, outer="sealed 2")))
    held.write(lambda uow: uow.contracts.add_credential(first))
    held.write(lambda uow: uow.contracts.add_credential(first))
    newest = held.read(lambda uow: uow.contracts.credential(C1))
    assert newest is not None
    assert newest.outer == "sealed 2"
    with pytest.raises(Conflict):
        held.write(lambda uow: uow.contracts.add_credential(replace(first, outer="other")))


def test_many_are_read_in_one_look(held: Held) -> None:
    rows = [contract(f"c{n}") for n in (1, 2, 3)]
    add(held, *rows)
    asked = (ContractId("c3"), ContractId("c9"), C1)
    assert held.read(lambda uow: uow.contracts.many(asked)) == (rows[0], rows[2])
    assert held.read(lambda uow: uow.contracts.many(())) == ()
    for n in (1, 2):
        sealed = SealedCredential(C1, n, 1, f"sealed {n}", "agent", 1_000)
        held.write(lambda uow, row=sealed: uow.contracts.add_credential(row))  # type: ignore[misc]
    assert held.read(lambda uow: uow.contracts.credential_numbers(asked)) == {C1: 2}
    assert held.read(lambda uow: uow.contracts.credential_numbers(())) == {}


def test_live_assignments_come_oldest_first(held: Held) -> None:
    add(held, *(contract(f"c{n}") for n in (1, 2, 3)))
    rows = [
        assignment("c1", created_at_ms=3),
        assignment("c2", created_at_ms=2),
        assignment("c3", state=AssignmentState.ENDED),
    ]
    held.write(lambda uow: each(uow.assignments.add, rows))
    assert held.read(lambda uow: uow.assignments.live(POOL)) == (rows[1], rows[0])
    leased = replace(rows[0], state=AssignmentState.LEASED, fence=1, lease_expires_ms=500)
    held.write(lambda uow: uow.assignments.save(leased))
    assert held.read(lambda uow: uow.assignments.get(C1)) == replace(leased, version=2)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.assignments.save(leased))


def test_a_gap_moves_the_leases_that_ran(held: Held) -> None:
    add(held, contract("c1"), contract("c2"))
    rows = [assignment("c1", lease_expires_ms=500), assignment("c2", lease_expires_ms=100)]
    held.write(lambda uow: each(uow.assignments.add, rows))
    assert held.write(lambda uow: uow.assignments.shift_leases(1_000, 200)) == 1
    moved = held.read(lambda uow: uow.assignments.get(C1))
    assert moved is not None
    assert moved.lease_expires_ms == 1_500

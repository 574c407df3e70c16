"""Providers, pools, delegations, agents and pairings, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.identity.providers import (
    AgentPresence,
    Delegation,
    Pairing,
    PoolLogEntry,
    Provider,
)
from decent_cloud.kernel.errors import AlreadyExists, StaleVersion
from decent_cloud.kernel.ids import Kid
from decent_cloud.kernel.status import Permission
from tests.contracts.conftest import Held
from tests.contracts.samples import POOL, PROVIDER, STRANGER, pool

DELEGATION = Delegation(
    provider=PROVIDER,
    agent=Kid("k1"),
    pool=POOL,
    permissions=(Permission.PROVISION, Permission.HEARTBEAT),
    not_after_s=0,
    revoked=False,
    statement="{}",
    digest="d1",
    label="garage",
    created_at_ms=1_000,
)


def test_a_provider_is_stored_and_replaced(held: Held) -> None:
    provider = Provider(PROVIDER, "Bee", "https://bee.example", 1_000)
    held.write(lambda uow: uow.providers.add(provider))
    held.write(lambda uow: uow.providers.save(replace(provider, name="Bees")))
    assert held.read(lambda uow: uow.providers.get(PROVIDER)) == replace(
        provider, name="Bees", version=2
    )


def test_pool_names_are_unique_for_a_provider(held: Held) -> None:
    held.write(lambda uow: uow.providers.add_pool(pool("w1", "home")))
    held.write(lambda uow: uow.providers.add_pool(replace(pool("w2", "home"), provider=STRANGER)))
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.providers.add_pool(pool("w3", "home")))
    assert held.read(lambda uow: uow.providers.pools(PROVIDER)) == (pool("w1", "home"),)


def test_the_log_grows_with_its_pool_and_a_fork_is_refused(held: Held) -> None:
    first = replace(pool(), log_seq=1, log_hash="h1")
    entry = PoolLogEntry(POOL, 1, "h1", "{}")
    held.write(lambda uow: uow.providers.add_pool(pool()))
    held.write(lambda uow: uow.providers.append_log(first, entry))
    assert held.read(lambda uow: uow.providers.pool(POOL)) == replace(first, version=2)
    assert held.read(lambda uow: uow.providers.log_hash(POOL, 1)) == "h1"
    assert held.read(lambda uow: uow.providers.log_hash(POOL, 2)) == ""
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.providers.append_log(first, replace(entry, hash="fork")))
    assert held.read(lambda uow: uow.providers.log_hash(POOL, 1)) == "h1"


def test_a_delegation_is_inserted_once_then_replaced_by_version(held: Held) -> None:
    held.write(lambda uow: uow.providers.put_delegation(DELEGATION))
    held.write(lambda uow: uow.providers.put_delegation(replace(DELEGATION, revoked=True)))
    assert held.read(lambda uow: uow.providers.delegation(PROVIDER, Kid("k1"))) == replace(
        DELEGATION, revoked=True, version=2
    )
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.providers.put_delegation(DELEGATION))
    unknown = replace(DELEGATION, agent=Kid("k2"), version=2)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.providers.put_delegation(unknown))
    assert len(held.read(lambda uow: uow.providers.delegations(PROVIDER))) == 1


def test_presences_are_replaced(held: Held) -> None:
    seen = AgentPresence(PROVIDER, Kid("k1"), POOL, 1_000, "0.1", "fake", "scope", 0)
    held.write(lambda uow: uow.providers.put_presence(seen))
    again = replace(seen, last_seen_ms=2_000, alarms=("disk full",))
    held.write(lambda uow: uow.providers.put_presence(again))
    assert held.read(lambda uow: uow.providers.presence(PROVIDER, Kid("k1"))) == again
    assert held.read(lambda uow: uow.providers.presences(PROVIDER)) == (again,)


def test_expired_pairings_are_dropped(held: Held) -> None:
    pairing = Pairing("r1", PROVIDER, "w1", "old", "", 5_000)
    held.write(lambda uow: uow.providers.put_pairing(pairing))
    held.write(lambda uow: uow.providers.put_pairing(replace(pairing, new_message="new")))
    assert held.read(lambda uow: uow.providers.pairing("r1")) == replace(
        pairing, new_message="new", version=2
    )
    assert held.write(lambda uow: uow.providers.drop_pairings(5_000)) == 0
    assert held.write(lambda uow: uow.providers.drop_pairings(5_001)) == 1
    assert held.read(lambda uow: uow.providers.pairing("r1")) is None

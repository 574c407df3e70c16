"""Accounts, chains, devices, seed boxes and personal fields, on every database."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import psycopg
import pytest

from decent_cloud.adapters.sql.engine import connect
from decent_cloud.domain.identity.accounts import Device, Link, OldSeed, Profile, SeedBox
from decent_cloud.kernel.errors import AlreadyExists, Internal, StaleVersion
from decent_cloud.kernel.ids import AccountId, Kid
from tests.contracts.conftest import Held
from tests.contracts.samples import STRANGER, TENANT, account, each


def device(kid: str, since_seq: int = 0, *, active: bool = True) -> Device:
    return Device(TENANT, Kid(kid), "01" * 32, "02" * 32, 0, "cli", active, since_seq)


def test_an_account_is_stored_and_read_back(held: Held) -> None:
    held.write(lambda uow: uow.accounts.add(account()))
    assert held.read(lambda uow: uow.accounts.get(TENANT)) == account()
    assert held.read(lambda uow: uow.accounts.get(STRANGER)) is None


def test_a_taken_id_is_refused(held: Held) -> None:
    held.write(lambda uow: uow.accounts.add(account()))
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.accounts.add(account()))


def test_a_save_counts_the_version_and_a_stale_one_is_refused(held: Held) -> None:
    first = account()
    held.write(lambda uow: uow.accounts.add(first))
    held.write(lambda uow: uow.accounts.save(replace(first, head="cd" * 32)))
    saved = held.read(lambda uow: uow.accounts.get(TENANT))
    assert saved == replace(first, head="cd" * 32, version=2)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.accounts.save(replace(first, admin=True)))
    assert held.read(lambda uow: uow.accounts.get(TENANT)) == saved


def test_links_come_back_in_order_and_a_taken_place_is_refused(held: Held) -> None:
    links = [Link(TENANT, seq, f"hash {seq}", "{}", 1_000) for seq in (1, 0)]
    held.write(lambda uow: uow.accounts.add(account()))
    held.write(lambda uow: each(uow.accounts.add_link, links))
    assert held.read(lambda uow: uow.accounts.links(TENANT)) == (links[1], links[0])
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.accounts.add_link(replace(links[0], hash="other")))


def test_devices_and_boxes_are_replaced_by_key(held: Held) -> None:
    boxes = (SeedBox(TENANT, Kid("k1"), 2, "two"), SeedBox(TENANT, Kid("k1"), 1, "one"))

    held.write(lambda uow: uow.accounts.add(account()))
    held.write(lambda uow: uow.accounts.put_devices((device("k2", 1), device("k1"))))
    held.write(lambda uow: uow.accounts.put_devices((device("k1", active=False),)))
    held.write(lambda uow: uow.accounts.put_boxes(boxes))
    held.write(lambda uow: uow.accounts.put_boxes((replace(boxes[0], box="newer"),)))
    assert held.read(lambda uow: uow.accounts.devices(TENANT)) == (
        device("k1", active=False),
        device("k2", 1),
    )
    assert held.read(lambda uow: uow.accounts.device(TENANT, Kid("k2"))) == device("k2", 1)
    assert [box.box for box in held.read(lambda uow: uow.accounts.boxes(TENANT, Kid("k1")))] == [
        "one",
        "newer",
    ]


def test_earlier_seeds_come_back_oldest_first(held: Held) -> None:
    seeds = [OldSeed(TENANT, gen, f"seed {gen}") for gen in (3, 2)]
    held.write(lambda uow: uow.accounts.add(account()))
    held.write(lambda uow: each(uow.accounts.add_old_seed, seeds))
    assert held.read(lambda uow: uow.accounts.old_seeds(TENANT)) == (seeds[1], seeds[0])


def test_a_profile_is_replaced_and_erased(held: Held) -> None:
    profile = Profile("Ada", "ada@example.org")
    assert held.read(lambda uow: uow.personal.get(TENANT)) == Profile()
    held.write(lambda uow: uow.personal.put(TENANT, Profile("first")))
    held.write(lambda uow: uow.personal.put(TENANT, profile))
    assert held.read(lambda uow: uow.personal.get(TENANT)) == profile
    held.write(lambda uow: uow.personal.erase(TENANT))
    assert held.read(lambda uow: uow.personal.get(TENANT)) == Profile()


def test_personal_fields_are_sealed_for_their_account_and_the_master_key(sql: Held) -> None:
    sql.write(lambda uow: uow.personal.put(TENANT, Profile("Ada", "ada@example.org")))
    row = _as_a_stranger(sql, "SELECT wrapped_key, sealed FROM personal")
    assert b"Ada" not in bytes(row[0]) + bytes(row[1])
    _as_a_stranger(sql, f"UPDATE personal SET account = '{STRANGER}'")
    with pytest.raises(Internal):
        sql.read(lambda uow: uow.personal.get(AccountId(STRANGER)))

    other = connect(sql.url, b"x" * 32)
    with pytest.raises(Internal):
        sql.run(other.read(lambda uow: uow.personal.get(STRANGER)))
    sql.run(other.close())


def _as_a_stranger(sql: Held, statement: str) -> tuple[bytes, ...]:
    if sql.kind == "sqlite":
        with sqlite3.connect(sql.url.removeprefix("sqlite:///")) as connection:
            found = connection.execute(statement).fetchone()
        connection.close()
        return tuple(found or ())
    with psycopg.connect(sql.url, autocommit=True) as server:
        cursor = server.execute(statement)
        return tuple((cursor.fetchone() or ()) if cursor.description else ())

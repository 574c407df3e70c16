"""Nonces, stored answers and what the platform knows of itself, on every database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from decent_cloud.app.ports.requests import StoredAnswer
from decent_cloud.kernel.errors import AlreadyExists, Conflict
from decent_cloud.kernel.status import ServerMode
from tests.contracts.conftest import Held

ANSWER = StoredAnswer("kid", "key", "hash", 201, '{"id":"c1"}', 1_000)


def test_a_nonce_is_used_once_by_each_key(held: Held) -> None:
    async def rush() -> list[bool]:
        uses = [
            held.database.write(lambda uow: uow.requests.use_nonce("k1", "n", 5)) for _ in range(5)
        ]
        return await asyncio.gather(*uses)

    assert sorted(held.run(rush())) == [False] * 4 + [True]
    assert held.write(lambda uow: uow.requests.use_nonce("k2", "n", 5))


def test_an_answer_is_stored_once(held: Held) -> None:
    held.write(lambda uow: uow.requests.store_answer(ANSWER))
    assert held.read(lambda uow: uow.requests.answer("kid", "key")) == ANSWER
    assert held.read(lambda uow: uow.requests.answer("other", "key")) is None
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.requests.store_answer(replace(ANSWER, body="{}")))


def test_the_old_is_forgotten(held: Held) -> None:
    held.write(lambda uow: uow.requests.use_nonce("k1", "n", 500))
    held.write(lambda uow: uow.requests.store_answer(ANSWER))
    assert held.write(lambda uow: uow.requests.drop_before(500, 1_000)) == 0
    assert held.write(lambda uow: uow.requests.drop_before(501, 1_001)) == 2
    assert held.write(lambda uow: uow.requests.use_nonce("k1", "n", 900))


def test_a_database_belongs_to_one_platform(held: Held) -> None:
    assert held.read(lambda uow: uow.platform.mode()) is None
    assert held.read(lambda uow: uow.platform.platform_id()) == ""
    for _ in range(2):
        held.write(lambda uow: uow.platform.stamp(ServerMode.DEVELOPMENT, "p1"))
    assert held.read(lambda uow: uow.platform.mode()) is ServerMode.DEVELOPMENT
    for mode, name in ((ServerMode.PRODUCTION, "p1"), (ServerMode.DEVELOPMENT, "p2")):
        with pytest.raises(Conflict):
            held.write(lambda uow, to=(mode, name): uow.platform.stamp(*to))  # type: ignore[misc]
    assert held.read(lambda uow: uow.platform.platform_id()) == "p1"


def test_one_process_moves_a_tick(held: Held) -> None:
    assert held.read(lambda uow: uow.platform.last_tick_ms()) == 0
    assert held.write(lambda uow: uow.platform.tick(0, 1_000))
    assert not held.write(lambda uow: uow.platform.tick(0, 1_001))
    assert held.write(lambda uow: uow.platform.tick(1_000, 2_000))
    assert held.read(lambda uow: uow.platform.last_tick_ms()) == 2_000

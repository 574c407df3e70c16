"""A worker killed at any step: the next one finishes the job, and every effect is there once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from tests.contracts.samples import job
from tests.jobs.worker_process import KEY

ROOT = Path(__file__).parents[2]
PLACES = [
    "daily:cron:before",
    "daily:cron:acted",
    "daily:cron:after",
    "sample::before",
    "sample::acted",
    "sample::after",
    "sample:tell:before",
    "sample:tell:acted",
    "sample:tell:after",
]


def work(url: str, outside: Path, kill_at: str) -> int:
    command = [sys.executable, "-m", "tests.jobs.worker_process", url, str(outside), kill_at]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", PLACES)
def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path, kill_at: str) -> None:
    url = f"sqlite:///{tmp_path}/decent.db"
    migrate(url)
    kill_then_finish(url, tmp_path, kill_at)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("kill_at", ["daily:cron:acted", "sample::acted", "sample:tell:after"])
def test_a_worker_on_postgres_killed_loses_and_doubles_nothing(
    tmp_path: Path, kill_at: str, postgres_database: Callable[..., str]
) -> None:
    kill_then_finish(postgres_database("migrated", migrate), tmp_path, kill_at)


def kill_then_finish(url: str, tmp_path: Path, kill_at: str) -> None:
    asyncio.run(_write(url, lambda uow: uow.jobs.add(job(KEY))))

    assert work(url, tmp_path, kill_at) == -signal.SIGKILL
    assert work(url, tmp_path, "never") == 0

    done = {path.name for path in tmp_path.iterdir() if path.name.startswith(KEY)}
    assert done == {f"{KEY}:", f"{KEY}:tell"}
    calls = (tmp_path / "calls").read_text().splitlines()
    assert set(calls) == done
    assert len(calls) <= 3  # at most the killed step was asked again, under its own key
    asyncio.run(_write(url, _check))


def _check(uow: UnitOfWork) -> None:
    assert [row.id for row in uow.ledger.transfers("r")] == [f"{KEY}::order"]
    assert uow.ledger.differences() == ()
    assert sorted(row.kind for row in uow.outbox.read(0, 9)) == ["ticked", "told"]


async def _write(url: str, fn: object) -> None:
    database = connect(url, bytes(32))
    await database.write(fn)  # type: ignore[arg-type]
    await database.close()

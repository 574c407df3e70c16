"""A worker with one sample job of two steps, and a cron, that kills itself at a given step hook."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from decent_cloud.adapters.sql.engine import connect
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.jobs.handler import Cron, Next, Step
from decent_cloud.jobs.runner import Runner
from decent_cloud.kernel.clock import DAY_MS, SystemClock
from decent_cloud.kernel.status import JobState
from tests.contracts.samples import cash, event, held, transfer

KEY = "rent c1"
LEASE_MS = 400


class Payout:
    """Asks the outside world once a step, then books what it answered."""

    kind = "sample"

    def __init__(self, outside: Path) -> None:
        self._outside = outside

    async def run(self, job: Job, step: Step) -> None:
        with (self._outside / "calls").open("a") as calls:
            calls.write(f"{step.key}\n")
        (self._outside / step.key).touch()  # the same key never does it twice
        if not job.step:
            await step.commit(lambda uow: self._charged(uow, step))
        else:
            await step.commit(lambda uow: self._told(uow, step))

    def _charged(self, uow: UnitOfWork, step: Step) -> Next:
        uow.ledger.post((transfer(f"{step.key}:order", cash(), held()),))
        return Next.again(step.now_ms(), step="tell")

    def _told(self, uow: UnitOfWork, step: Step) -> Next:
        uow.outbox.append(event(kind="told"))
        return Next.done()


def tick(uow: UnitOfWork, now_ms: int) -> None:
    """Book something that two runs of one tick would show."""
    uow.outbox.append(event(kind="ticked", at_ms=now_ms))


async def main(url: str, outside: Path, kill_at: str) -> None:
    database = connect(url, bytes(32))

    def hook(place: str) -> None:
        if place == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    runner = Runner(
        database,
        SystemClock(),
        [Payout(outside)],
        [Cron("daily", 1_000 * DAY_MS, tick)],
        f"worker {os.getpid()}",
        hook,
        lease_ms=LEASE_MS,
    )
    working = asyncio.create_task(runner.run())
    while True:
        job = await database.read(lambda uow: uow.jobs.get(KEY))
        if job is not None and job.state is JobState.DONE:
            break
        await asyncio.sleep(0.02)
    await runner.stop()
    await working
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))

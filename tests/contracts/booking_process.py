"""A program that books transfers and tells which ones were acknowledged, for tests that kill it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from decent_cloud.adapters.sql.engine import connect
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from tests.contracts.samples import cash, event, held, transfer

CALLERS = 16


def booking(n: int) -> Callable[[UnitOfWork], None]:
    """Return a unit of four transfers and an event."""

    def fn(uow: UnitOfWork) -> None:
        owner = held(str(n % 5))
        uow.ledger.post((transfer(f"{n} in", cash(), owner, 10, str(n)),))
        uow.outbox.append(event(kind=str(n)))
        out = (
            transfer(f"{n} out", owner, held("z"), 3, str(n)),
            transfer(f"{n} back", owner, cash(), 1, str(n)),
        )
        uow.ledger.post(out)

    return fn


async def main(url: str, units: int) -> None:
    database = connect(url, bytes(32))
    numbers = iter(range(units))

    async def caller() -> None:
        for n in numbers:
            await database.write(booking(n))
            sys.stdout.write(f"{n}\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

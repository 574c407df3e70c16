"""A process killed in the middle: what was acknowledged is there, what was not is whole or absent."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from decent_cloud.domain.ledger.transfers import TrialLine
from decent_cloud.kernel.money import Asset
from tests.contracts.conftest import Held

ROOT = Path(__file__).parents[2]
UNITS = 200


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [1, 40, 120])
def test_a_killed_process_loses_nothing_it_acknowledged(sql: Held, acknowledged: int) -> None:
    command = [sys.executable, "-m", "tests.contracts.booking_process", sql.url, str(UNITS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(acknowledged)]
        process.send_signal(signal.SIGKILL)
        seen += process.stdout.readlines()
        assert process.wait(30) == -signal.SIGKILL
    acks = {int(line) for line in seen if line.endswith("\n")}
    assert acknowledged <= len(acks) < UNITS

    booked = {n for n in range(UNITS) if sql.read(lambda uow, n=n: uow.ledger.transfers(str(n)))}  # type: ignore[misc]
    assert acks <= booked
    for n in booked:
        assert len(sql.read(lambda uow, n=n: uow.ledger.transfers(str(n)))) == 3  # type: ignore[misc]
    events = sql.read(lambda uow: uow.outbox.read(0, 1_000))
    assert sorted(int(row.kind) for row in events) == sorted(booked)
    assert sql.read(lambda uow: uow.ledger.differences()) == ()
    net = 9 * len(booked)
    assert sql.read(lambda uow: uow.ledger.trial_balance()) == (TrialLine(Asset.USD, net, net),)

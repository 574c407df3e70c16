"""Records for agent tests with everything a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from decent_cloud.agent.records import Instance, Report, Stage, Want
from decent_cloud.agent.situation import Situation, Standing, Us
from decent_cloud.drivers.contract import Handle
from decent_cloud.kernel.ids import AccountId, ContractId, Digest
from decent_cloud.kernel.status import AssignmentState, Desired

NOW = 1_800_000_000_000
CONTRACT = ContractId("c" + "0" * 26)
OTHER = ContractId("c" + "1" * 26)
ME = "m" * 22
HANDLE = Handle("fake", {"id": "1"})
SCOPE = "fake-1"


def want(contract: ContractId = CONTRACT, **changed: Any) -> Want:
    fields: dict[str, Any] = {
        "contract": contract,
        "digest": Digest("d" * 64),
        "tenant": AccountId("e" * 64),
        "desired": Desired.RUNNING,
        "state": AssignmentState.OPEN,
        "holder": "",
        "scope": "",
        "fence": 0,
        "lease_expires_ms": 0,
        "paid_until_ms": 0,
        "deadline_ms": 0,
        "renews": False,
        "suspended": False,
        "next_n": 1,
        **changed,
    }
    return Want(**fields)


def instance(stage: Stage, contract: ContractId = CONTRACT, **changed: Any) -> Instance:
    return Instance(contract, stage, NOW, **changed)


def report(key: str, contract: ContractId = CONTRACT, **changed: Any) -> Report:
    return Report(key, contract, "{}", NOW, **changed)


def situation(**changed: Any) -> Situation:
    fields: dict[str, Any] = {
        "now_ms": NOW,
        "standing": Standing.TRUSTED,
        "us": Us(ME, SCOPE, can_stop=True),
        "want": None,
        "instance": None,
        **changed,
    }
    return Situation(**fields)

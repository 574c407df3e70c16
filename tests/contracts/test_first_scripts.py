"""First scripts and their sealed logs, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.domain.contracts.contract import SealedLog
from decent_cloud.domain.keys.first_scripts import (
    OrderedScript,
    ScriptText,
    read_script,
    script_hash,
)
from decent_cloud.kernel.errors import Conflict
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import OnScriptFailure
from tests.contracts.conftest import Held
from tests.contracts.samples import contract, step

C1, C2 = ContractId("c1"), ContractId("c2")
TEXT = "#!/bin/sh\necho 'grüezi' \"there\"\n"


def test_a_text_is_kept_once_by_its_hash(held: Held) -> None:
    script = ScriptText(script_hash(TEXT), TEXT)
    assert held.read(lambda uow: uow.first_scripts.text(script.sha256)) is None
    held.write(lambda uow: uow.first_scripts.keep(script))
    held.write(lambda uow: uow.first_scripts.keep(script))
    assert held.read(lambda uow: uow.first_scripts.text(script.sha256)) == TEXT


def test_a_contract_remembers_what_was_ordered(held: Held) -> None:
    script = read_script(TEXT, 60, OnScriptFailure.FAIL, 600)
    row = contract("c1")
    plan = replace(row.plan, first_script=OrderedScript(script, '{"title":"x"}', '{"p":"","s":[]}'))
    row = replace(row, plan=plan)
    held.write(lambda uow: uow.contracts.add(row, step(row)))
    assert held.read(lambda uow: uow.contracts.get(C1)) == row


def test_the_newest_log_of_a_contract_is_found_and_none_is_replaced(held: Held) -> None:
    for row in (contract("c1"), contract("c2")):
        held.write(lambda uow, row=row: uow.contracts.add(row, step(row)))  # type: ignore[misc]
    first = SealedLog(C1, 1, 1, "sealed 1", "agent", 1_000)
    assert held.read(lambda uow: uow.first_scripts.log(C1)) is None
    held.write(lambda uow: uow.first_scripts.add_log(replace(first, n=2, outer="sealed 2")))
    held.write(lambda uow: uow.first_scripts.add_log(first))
    held.write(lambda uow: uow.first_scripts.add_log(first))
    newest = held.read(lambda uow: uow.first_scripts.log(C1))
    assert newest is not None
    assert (newest.n, newest.outer) == (2, "sealed 2")
    with pytest.raises(Conflict):
        held.write(lambda uow: uow.first_scripts.add_log(replace(first, outer="other")))
    assert held.read(lambda uow: uow.first_scripts.log(C2)) is None

"""New SSH keys: who may ask with which signature, what agents are told, and how each request ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.app import assignments, reset_reports, resets
from decent_cloud.app.caller import DeviceOnly, ReadOnlyDevice
from decent_cloud.app.contracts import NotYourSide
from decent_cloud.app.resets import NoMachine, ResetRow
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.reset import (
    KeyListStale,
    ResetNotPromised,
    ResetOpen,
    TooManyResets,
)
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.errors import BadShape, Forked, WrongSigner
from decent_cloud.domain.keys.key_lists import KeyList, sign_key_list
from decent_cloud.jobs import resets as background
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.ssh_keys import SshPublicKey
from decent_cloud.kernel.status import ResetFailure, ResetState, ResetSubject
from decent_cloud.wire.v1.resets import (
    KeysApplied,
    KeysReport,
    ReplaceKeys,
    ResetClaimed,
    ResetGivenUp,
    ResetVerified,
)
from tests.support.key_lists import ssh_line
from tests.support.people import new_keys
from tests.support.usecases import Agent, Member, Shop, Usecases, wire

S = ResetState


@pytest.fixture
def shop(use: Usecases) -> Shop:
    return use.shop()


@pytest.fixture
def tenant(use: Usecases) -> Member:
    return use.account()


@pytest.fixture
def contract(use: Usecases, shop: Shop, tenant: Member) -> Contract:
    return use.active(shop, tenant, use.offering(shop))


def signed(
    tenant: Member, contract: Contract, n: int, by: DeviceKeys | None = None, **changes: Any
) -> ReplaceKeys:
    keys = (SshPublicKey.parse(ssh_line(n)),)
    wish = KeyList(tenant.id, Digest(contract.digest), tenant.chain.pin, keys, n)
    return ReplaceKeys(statement=wire(sign_key_list(replace(wish, **changes), by or tenant.keys)))


def send(use: Usecases, who: Member, contract: Contract, command: ReplaceKeys) -> ResetRow:
    return use.write(
        lambda uow: resets.replace_keys(uow, who.caller, contract.id, command, use.now_ms)
    )


def tell(use: Usecases, agent: Agent, contract: Contract, command: KeysReport) -> ResetRow:
    return use.write(
        lambda uow: reset_reports.report_keys(uow, agent.caller, contract.id, command, use.now_ms)
    )


def claim(use: Usecases, agent: Agent, contract: Contract, reset: str) -> ResetRow:
    return tell(use, agent, contract, ResetClaimed(scope=agent.scope, reset=reset))


def desired(use: Usecases, agent: Agent) -> assignments.Work:
    found = use.read(lambda uow: assignments.desired(uow, agent.caller, 0, use.now_ms))
    return found.items[0]


def finish(use: Usecases, agent: Agent, contract: Contract, row: ResetRow) -> ResetRow:
    reset, n = row.reset.id, row.reset.n
    claim(use, agent, contract, reset)
    tell(use, agent, contract, KeysApplied(scope=agent.scope, reset=reset, n=n))
    return tell(use, agent, contract, ResetVerified(scope=agent.scope, reset=reset, n=n))


def test_a_list_is_kept_served_and_followed_to_its_end(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    command = signed(tenant, contract, 1)
    asked = send(use, tenant, contract, command)
    assert (asked.reset.state, asked.reset.n) == (S.REQUESTED, 1)
    assert asked.reset.subject is ResetSubject.SSH_KEYS
    work = desired(use, shop.agent)
    assert work.reset == asked.reset
    assert work.key_list == statement_text(from_wire(command.statement))
    done = finish(use, shop.agent, contract, asked)
    assert done.reset.state is S.VERIFIED
    work = desired(use, shop.agent)
    assert (work.reset, work.key_list) == (None, done.reset.statement)
    events = [(row.event, row.evidence) for row in use.history(contract)][-4:]
    assert [event for event, _ in events] == [
        "keys_requested",
        "keys_claimed",
        "keys_applied",
        "keys_verified",
    ]
    assert events[0][1] == f"{asked.reset.id}, key list 1"


def test_the_same_list_again_is_the_same_request(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    command = signed(tenant, contract, 1)
    asked = send(use, tenant, contract, command)
    assert send(use, tenant, contract, command) == asked
    finish(use, shop.agent, contract, asked)
    assert send(use, tenant, contract, command).reset.state is S.VERIFIED
    assert [row.event for row in use.history(contract)].count("keys_requested") == 1


def test_numbers_only_rise(use: Usecases, shop: Shop, tenant: Member, contract: Contract) -> None:
    finish(use, shop.agent, contract, send(use, tenant, contract, signed(tenant, contract, 5)))
    for n in (5, 4):
        other = signed(tenant, contract, n, keys=(SshPublicKey.parse(ssh_line(99)),))
        with pytest.raises(KeyListStale) as refused:
            send(use, tenant, contract, other)
        assert refused.value.details["n"] == 5
    assert send(use, tenant, contract, signed(tenant, contract, 6)).reset.n == 6


def test_one_is_open_at_a_time_and_three_an_hour(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    for n in (1, 2, 3):
        asked = send(use, tenant, contract, signed(tenant, contract, n))
        with pytest.raises(ResetOpen):
            send(use, tenant, contract, signed(tenant, contract, n + 1))
        with pytest.raises(ResetOpen):
            use.write(lambda uow: resets.request_reset(uow, tenant.caller, contract.id, use.now_ms))
        finish(use, shop.agent, contract, asked)
    with pytest.raises(TooManyResets):
        send(use, tenant, contract, signed(tenant, contract, 4))


def test_only_the_tenants_own_devices_of_full_rank_may_ask(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    command = signed(tenant, contract, 1)
    with pytest.raises(NotFound):
        send(use, use.account(), contract, command)
    with pytest.raises(NotYourSide):
        send(use, shop.owner, contract, signed(shop.owner, contract, 1))
    reader = replace(tenant.caller, rank=int(Rank.READER))
    with pytest.raises(ReadOnlyDevice):
        use.write(lambda uow: resets.replace_keys(uow, reader, contract.id, command, use.now_ms))
    with pytest.raises(DeviceOnly):
        use.write(
            lambda uow: resets.replace_keys(
                uow, shop.agent.caller, contract.id, command, use.now_ms
            )
        )


def test_what_another_signed_or_for_something_else_is_refused(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    stranger = use.account()
    for command, refusal in (
        (signed(tenant, contract, 1, by=stranger.keys), WrongSigner),
        (signed(tenant, replace(contract, digest=Digest("ab" * 32)), 1), BadShape),
        (signed(tenant, contract, 1, head=Pin(0, Digest("ab" * 32))), Forked),
    ):
        with pytest.raises(refusal):
            send(use, tenant, contract, command)
    laptop = new_keys()
    use.add_device(tenant, laptop, DeviceType.CLI, Rank.ORDINARY)
    command = signed(tenant, contract, 1, by=laptop)
    use.rotate(tenant, {laptop.kid})
    with pytest.raises(WrongSigner):
        send(use, tenant, contract, command)
    assert desired(use, shop.agent).key_list == ""


def test_an_offering_without_any_way_in_refuses(use: Usecases, shop: Shop, tenant: Member) -> None:
    bare = use.active(shop, tenant, use.offering(shop, reset=False))
    with pytest.raises(ResetNotPromised, match="management key"):
        send(use, tenant, bare, signed(tenant, bare, 1))
    managed = use.active(shop, tenant, use.offering(shop, reset=False, management_key=True))
    assert send(use, tenant, managed, signed(tenant, managed, 1)).reset.state is S.REQUESTED


def test_a_machine_that_is_still_to_be_made_has_time_until_it_is_there(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    coming = use.paid(tenant, use.offering(shop))
    asked = send(use, tenant, coming, signed(tenant, coming, 1))
    limit_ms = use.contract(coming).deadline_ms + coming.provision_timeout_s * 1_000
    assert asked.reset.deadline_ms == limit_ms + 15 * MINUTE_MS
    assert desired(use, shop.agent).key_list != ""
    use.provision(shop.agent, tenant, coming)
    assert finish(use, shop.agent, coming, asked).reset.state is S.VERIFIED


def test_a_contract_that_is_over_has_no_machine(
    use: Usecases, tenant: Member, contract: Contract
) -> None:
    asked = send(use, tenant, contract, signed(tenant, contract, 1))
    use.cancel(tenant, contract)
    found = use.read(lambda uow: uow.resets.get(asked.reset.id))
    assert found is not None
    assert (found.state, found.failure) == (S.FAILED, ResetFailure.CONTRACT_ENDED.value)
    with pytest.raises(NoMachine):
        send(use, tenant, contract, signed(tenant, contract, 2))


def test_what_nobody_takes_up_expires_and_the_next_list_may_come(
    use: Usecases, tenant: Member, contract: Contract
) -> None:
    asked = send(use, tenant, contract, signed(tenant, contract, 1))
    use.wait(15 * MINUTE_MS + 1)
    use.write(lambda uow: background.deadlines().fn(uow, use.now_ms))
    found = use.read(lambda uow: uow.resets.get(asked.reset.id))
    assert found is not None
    assert found.state is S.EXPIRED
    use.wait(HOUR_MS)
    assert send(use, tenant, contract, signed(tenant, contract, 2)).reset.n == 2


def test_reports_of_another_kind_list_or_state_change_nothing(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    asked = send(use, tenant, contract, signed(tenant, contract, 1))
    agent, reset = shop.agent, asked.reset.id
    with pytest.raises(NotFound):
        use.write(
            lambda uow: reset_reports.report_password(
                uow,
                agent.caller,
                contract.id,
                ResetClaimed(scope=agent.scope, reset=reset),
                use.now_ms,
            )
        )
    with pytest.raises(ResetOpen):
        use.write(
            lambda uow: reset_reports.report_password(
                uow, agent.caller, contract.id, ResetClaimed(scope=agent.scope), use.now_ms
            )
        )
    with pytest.raises(NotFound):
        claim(use, agent, contract, "")
    claim(use, agent, contract, reset)
    for other in (
        KeysApplied(scope=agent.scope, reset=reset, n=2),
        ResetVerified(scope=agent.scope, reset=reset, n=1),
    ):
        assert tell(use, agent, contract, other).reset.state is S.CLAIMED
    failed = tell(
        use,
        agent,
        contract,
        ResetGivenUp(scope=agent.scope, reset=reset, failure=ResetFailure.KEYS_DIFFER),
    )
    assert (failed.reset.state, failed.reset.failure) == (S.FAILED, "keys_differ")
    late = tell(use, agent, contract, KeysApplied(scope=agent.scope, reset=reset, n=1))
    assert late.reset.state is S.FAILED

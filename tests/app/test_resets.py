"""Password resets: who may ask, who works on it, what is kept, and how each of them ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decent_cloud.app import assignments, platform, reset_reports, resets
from decent_cloud.app.agents import AgentNotAllowed
from decent_cloud.app.caller import Caller
from decent_cloud.app.contracts import NotYourSide
from decent_cloud.app.credentials import CredentialConflict
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.resets import NoMachine, ResetRow
from decent_cloud.domain.contracts.assignment import WrongScope
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.contracts.reset import (
    Reset,
    ResetNotPromised,
    ResetOpen,
    ResetTaken,
    TooManyResets,
)
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.credentials import Subject, seal_credential
from decent_cloud.jobs import resets as background
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.status import (
    ContractState,
    ResetFailure,
    ResetOrigin,
    ResetState,
    ResetSubject,
)
from decent_cloud.wire.v1.resets import (
    PasswordApplied,
    PasswordReport,
    ResetClaimed,
    ResetGivenUp,
    ResetVerified,
)
from tests.support.usecases import HOST_KEY, SCOPE, Agent, Member, Shop, Usecases

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


def ask(use: Usecases, tenant: Member, contract: Contract) -> Reset:
    row = use.write(lambda uow: resets.request_reset(uow, tenant.caller, contract.id, use.now_ms))
    return row.reset


def tell(use: Usecases, agent: Agent, contract: Contract, command: PasswordReport) -> ResetRow:
    return use.write(
        lambda uow: reset_reports.report_password(
            uow, agent.caller, contract.id, command, use.now_ms
        )
    )


def claim(use: Usecases, agent: Agent, contract: Contract, reset: str = "") -> ResetRow:
    return tell(use, agent, contract, ResetClaimed(scope=agent.scope, reset=reset))


def applied(
    agent: Agent, tenant: Member, contract: Contract, reset: str, n: int
) -> PasswordApplied:
    access = Access("198.51.100.7", 22, "root", (HOST_KEY,), password=f"new {n}")
    subject = Subject(tenant.id, agent.provider, contract.digest, n)
    sealed = seal_credential(subject, access, agent.keys, tenant.chain.generation)
    body: dict[str, Any] = {
        "outcome": "applied",
        "scope": agent.scope,
        "reset": reset,
        "credential": {
            "ct": b64u.encode(sealed.ciphertext),
            "gen": sealed.generation,
            "n": n,
            "suite": 1,
            "v": 1,
        },
    }
    return convert(body, PasswordApplied)


def newest(use: Usecases, contract: Contract) -> int:
    found = use.read(lambda uow: uow.contracts.credential(contract.id))
    return found.n if found else 0


def stored(use: Usecases, reset: Reset) -> Reset:
    found = use.read(lambda uow: uow.resets.get(reset.id))
    assert found is not None
    return found


def wanted(use: Usecases, agent: Agent) -> str:
    found = use.read(lambda uow: assignments.desired(uow, agent.caller, 0, use.now_ms))
    reset = found.items[0].reset
    return reset.id if reset else ""


def listed(use: Usecases, caller: Caller, contract: Contract) -> tuple[ResetRow, ...]:
    return use.read(lambda uow: resets.list_resets(uow, caller, contract.id, use.now_ms))


def since(use: Usecases, stream: str, seq: int) -> tuple[Event, ...]:
    return use.read(lambda uow: uow.outbox.read_stream(stream, seq, 10))


def tick(use: Usecases) -> None:
    cron = background.deadlines()
    use.write(lambda uow: cron.fn(uow, use.now_ms))


def test_asked_claimed_applied_verified_with_every_step_in_the_history(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    assert wanted(use, shop.agent) == ""
    reset = ask(use, tenant, contract)
    assert (reset.state, reset.origin) == (S.REQUESTED, ResetOrigin.TENANT)
    assert reset.deadline_ms == use.now_ms + 15 * MINUTE_MS
    assert wanted(use, shop.agent) == reset.id
    use.wait(SECOND_MS)
    row = claim(use, shop.agent, contract, reset.id)
    assert (row.reset.state, row.reset.agent, row.next_n) == (S.CLAIMED, shop.agent.keys.kid, 2)
    assert row.reset.deadline_ms == use.now_ms + HOUR_MS
    report = applied(shop.agent, tenant, contract, reset.id, 2)
    row = tell(use, shop.agent, contract, report)
    assert (row.reset.state, row.reset.n, row.next_n) == (S.APPLIED, 2, 3)
    verified = ResetVerified(scope=SCOPE, reset=reset.id, n=2)
    done = tell(use, shop.agent, contract, verified).reset
    assert (done.state, done.deadline_ms, newest(use, contract)) == (S.VERIFIED, 0, 2)
    assert wanted(use, shop.agent) == ""
    after = use.history(contract)[-4:]
    assert [row.event for row in after] == [
        "reset_requested",
        "reset_claimed",
        "reset_applied",
        "reset_verified",
    ]
    assert {(row.from_state, row.to_state) for row in after} == {("active", ContractState.ACTIVE)}
    assert after[0].actor == f"device/{tenant.keys.kid}"
    assert {row.actor for row in after[1:]} == {f"agent/{shop.agent.keys.kid}"}
    assert after[-1].evidence == f"{reset.id}, credential 2"


def test_the_same_report_again_changes_nothing(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    reset = ask(use, tenant, contract)
    claim(use, shop.agent, contract, reset.id)
    report = applied(shop.agent, tenant, contract, reset.id, 2)
    verified = ResetVerified(scope=SCOPE, reset=reset.id, n=2)
    for _ in range(2):
        claim(use, shop.agent, contract, reset.id)
        tell(use, shop.agent, contract, report)
        assert tell(use, shop.agent, contract, verified).reset.state is S.VERIFIED
    assert [row.event for row in use.history(contract)].count("reset_applied") == 1


def test_an_order_whose_terms_do_not_promise_it_is_told_so(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    bare = use.active(shop, tenant, use.offering(shop, reset=False))
    with pytest.raises(ResetNotPromised):
        ask(use, tenant, bare)


def test_only_the_tenant_asks_and_only_both_sides_and_the_pools_agents_look(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    with pytest.raises(NotYourSide):
        ask(use, shop.owner, contract)
    stranger = use.account()
    with pytest.raises(NotFound):
        ask(use, stranger, contract)
    reset = ask(use, tenant, contract)
    for caller in (tenant.caller, shop.owner.caller, shop.agent.caller):
        assert [row.reset for row in listed(use, caller, contract)] == [reset]
    with pytest.raises(NotFound):
        listed(use, stranger.caller, contract)
    other = use.shop()
    with pytest.raises(NotFound):
        listed(use, other.agent.caller, contract)


def test_agents_see_what_is_open_in_their_own_pool(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    reset = ask(use, tenant, contract)
    other = use.shop()

    def pending(of: Shop, at: Shop) -> tuple[ResetRow, ...]:
        return use.read(
            lambda uow: resets.pending_resets(
                uow, of.agent.caller, at.owner.id, ResetSubject.PASSWORD, use.now_ms
            )
        )

    assert pending(shop, shop) == (ResetRow(reset, 2),)
    assert pending(other, other) == ()
    with pytest.raises(NotFound):
        pending(other, shop)
    with pytest.raises(NotFound):
        claim(use, other.agent, contract, reset.id)


def test_a_contract_without_a_running_machine_has_no_password_to_reset(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    paid = use.paid(tenant, use.offering(shop))
    with pytest.raises(NoMachine):
        ask(use, tenant, paid)
    with pytest.raises(WrongScope):
        claim(use, shop.agent, paid)
    use.provision(shop.agent, tenant, paid)
    suspended = use.step(paid, ContractEvent.SUSPENDED)
    with pytest.raises(NoMachine):
        ask(use, tenant, suspended)


def test_one_is_open_and_three_an_hour(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    for _ in range(3):
        reset = ask(use, tenant, contract)
        with pytest.raises(ResetOpen):
            ask(use, tenant, contract)
        claim(use, shop.agent, contract, reset.id)
        gone = ResetGivenUp(scope=SCOPE, reset=reset.id, failure=ResetFailure.REJECTED)
        tell(use, shop.agent, contract, gone)
        use.wait(MINUTE_MS)
    with pytest.raises(TooManyResets) as refused:
        ask(use, tenant, contract)
    assert refused.value.retry_after_s == 57 * 60
    use.wait(57 * MINUTE_MS)
    assert ask(use, tenant, contract).id == f"{contract.id}.reset4"


def test_a_providers_reset_starts_claimed_and_takes_up_an_open_one(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    own = claim(use, shop.agent, contract).reset
    assert (own.state, own.origin, own.agent) == (
        S.CLAIMED,
        ResetOrigin.PROVIDER,
        shop.agent.keys.kid,
    )
    assert claim(use, shop.agent, contract).reset == own
    with pytest.raises(ResetOpen):
        ask(use, tenant, contract)
    report = applied(shop.agent, tenant, contract, own.id, 2)
    tell(use, shop.agent, contract, report)
    tell(use, shop.agent, contract, ResetVerified(scope=SCOPE, reset=own.id, n=2))
    asked = ask(use, tenant, contract)
    taken = claim(use, shop.agent, contract).reset
    assert (taken.id, taken.state, taken.origin) == (asked.id, S.CLAIMED, ResetOrigin.TENANT)


def test_nobody_reports_from_another_backend_or_on_what_another_agent_claimed(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    reset = ask(use, tenant, contract)
    elsewhere = replace(shop.agent, scope="engine-2")
    with pytest.raises(WrongScope):
        claim(use, elsewhere, contract, reset.id)
    with pytest.raises(AgentNotAllowed):
        tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, 2))
    claim(use, shop.agent, contract, reset.id)
    second = use.agent(shop.owner, shop.pool.id)
    with pytest.raises(ResetTaken):
        tell(use, second, contract, applied(second, tenant, contract, reset.id, 2))
    assert claim(use, second, contract, reset.id).reset.agent == second.keys.kid
    with pytest.raises(NotFound):
        claim(use, shop.agent, contract, f"{contract.id}.reset9")


def test_what_is_not_taken_up_expires_and_what_is_not_finished_fails(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    idle = ask(use, tenant, contract)
    use.wait(15 * MINUTE_MS - 1)
    tick(use)
    assert stored(use, idle).state is S.REQUESTED
    use.wait(1)
    tick(use)
    assert stored(use, idle).state is S.EXPIRED
    for step in ("claimed", "applied"):
        reset = ask(use, tenant, contract)
        row = claim(use, shop.agent, contract, reset.id)
        if step == "applied":
            report = applied(shop.agent, tenant, contract, reset.id, row.next_n)
            tell(use, shop.agent, contract, report)
        use.wait(HOUR_MS)
        tick(use)
        after = stored(use, reset)
        assert (after.state, after.failure) == (S.FAILED, ResetFailure.TIMED_OUT)
    assert use.history(contract)[-1].actor == "platform"


def test_a_newer_credential_is_kept_whatever_became_of_the_reset(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    reset = ask(use, tenant, contract)
    claim(use, shop.agent, contract, reset.id)
    use.wait(HOUR_MS)
    tick(use)
    late = tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, 2))
    assert (late.reset.state, late.reset.n, newest(use, contract)) == (S.FAILED, 2, 2)
    tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, 3))
    assert newest(use, contract) == 3
    with pytest.raises(CredentialConflict):
        tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, 3))


def test_only_the_newest_credential_of_a_reset_verifies_it(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    reset = ask(use, tenant, contract)
    claim(use, shop.agent, contract, reset.id)
    for n in (2, 3):
        tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, n))
    old = ResetVerified(scope=SCOPE, reset=reset.id, n=2)
    assert tell(use, shop.agent, contract, old).reset.state is S.APPLIED
    new = ResetVerified(scope=SCOPE, reset=reset.id, n=3)
    assert tell(use, shop.agent, contract, new).reset.state is S.VERIFIED
    events = [row.event for row in use.history(contract)]
    assert events.count("reset_applied") == 2


def test_a_number_below_the_newest_is_no_new_credential(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    first = ask(use, tenant, contract)
    claim(use, shop.agent, contract, first.id)
    tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, first.id, 5))
    tell(use, shop.agent, contract, ResetVerified(scope=SCOPE, reset=first.id, n=5))
    second = ask(use, tenant, contract)
    assert claim(use, shop.agent, contract, second.id).next_n == 6
    with pytest.raises(CredentialConflict):
        tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, second.id, 4))


@pytest.mark.parametrize("state", [S.REQUESTED, S.CLAIMED, S.APPLIED])
def test_the_contracts_end_ends_what_is_open(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract, state: ResetState
) -> None:
    reset = ask(use, tenant, contract)
    if state is not S.REQUESTED:
        claim(use, shop.agent, contract, reset.id)
    if state is S.APPLIED:
        tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, 2))
    use.cancel(tenant, contract)
    after = stored(use, reset)
    assert (after.state, after.failure) == (S.FAILED, ResetFailure.CONTRACT_ENDED)
    before = newest(use, contract)
    if state is not S.REQUESTED:
        tell(use, shop.agent, contract, applied(shop.agent, tenant, contract, reset.id, 7))
    assert newest(use, contract) == before
    with pytest.raises(NoMachine):
        ask(use, tenant, contract)


def test_a_platform_that_slept_gives_the_time_back(
    use: Usecases, tenant: Member, contract: Contract
) -> None:
    use.write(lambda uow: platform.tick(uow, use.now_ms))
    reset = ask(use, tenant, contract)
    use.wait(HOUR_MS)
    tick(use)
    assert stored(use, reset).state is S.REQUESTED, "nothing ends before the gap is accounted for"
    use.write(lambda uow: platform.tick(uow, use.now_ms))
    assert stored(use, reset).deadline_ms == reset.deadline_ms + HOUR_MS
    tick(use)
    assert stored(use, reset).state is S.REQUESTED


def test_both_sides_and_the_agents_are_told(
    use: Usecases, shop: Shop, tenant: Member, contract: Contract
) -> None:
    before = use.read(lambda uow: uow.outbox.last_seq())
    reset = ask(use, tenant, contract)
    for stream in (
        f"contract/{contract.id}",
        f"account/{tenant.id}",
        f"account/{shop.owner.id}",
    ):
        (event,) = since(use, stream, before)
        assert event.data == {"state": "active", "event": "reset_requested", "reason": ""}
    (hint,) = since(use, f"pool/{contract.pool}", before)
    assert (hint.kind, hint.subject) == ("reset", contract.id)
    assert reset.id not in str(hint.data)

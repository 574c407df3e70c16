"""First scripts: in signed terms, frozen with the order, told to the pool's agents, their logs kept for the tenant.

On each of the three databases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app import first_scripts, offerings
from decent_cloud.app.agents import AgentNotAllowed
from decent_cloud.app.contracts import NotYourSide
from decent_cloud.domain.catalog.terms import promises_of, terms_of
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.credentials import Expected, Subject, parse_sealed
from decent_cloud.domain.keys.first_scripts import script_hash
from decent_cloud.domain.keys.logs import ScriptLog, open_log, seal_log
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.status import (
    ContractState,
    Desired,
    OnScriptFailure,
    ProvisionFailure,
    ScriptOutcome,
)
from decent_cloud.wire.v1.assignments import FailedReport
from decent_cloud.wire.v1.first_scripts import LogWire
from tests.support.postgres import PostgresServer
from tests.support.usecases import LoopStore, Member, MemoryStore, Shop, Usecases

TEXT = "#!/bin/sh\necho hello\n"
OTHER = "#!/bin/sh\necho other\n"
KINDS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="module")
def shared_url(postgres_server: PostgresServer) -> str:
    """Give one migrated database: what a test puts there, no other looks at."""
    url = postgres_server.fresh_database()
    migrate(url)
    return url


@pytest.fixture(params=KINDS)
def use(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Usecases]:
    if request.param == "memory":
        yield Usecases(MemoryStore())
        return
    if request.param == "postgres":
        url = str(request.getfixturevalue("shared_url"))
    else:
        url = f"sqlite:///{tmp_path}/decent.db"
        migrate(url)
    loop = asyncio.new_event_loop()
    database = connect(url, bytes(32))
    yield Usecases(LoopStore(database, loop))
    loop.run_until_complete(database.close())
    loop.close()


@pytest.fixture
def shop(use: Usecases) -> Shop:
    return use.shop()


@pytest.fixture
def tenant(use: Usecases) -> Member:
    return use.account()


def sealed(shop: Shop, tenant: Member, contract: Contract, n: int = 1, **change: Any) -> LogWire:
    log = ScriptLog(script_hash(TEXT), ScriptOutcome.EXITED, 2, b"canary-log", "")
    subject = Subject(tenant.id, contract.provider, contract.digest, n)
    made = seal_log(subject, log, shop.agent.keys, tenant.chain.generation)
    return convert(made.to_json() | change, LogWire)


def opened(use: Usecases, shop: Shop, tenant: Member, contract: Contract) -> ScriptLog:
    _, kept = use.read(lambda uow: first_scripts.read_log(uow, tenant.caller, contract.id))
    expected = Expected(tenant.id, contract.digest, shop.owner.chain, {shop.agent.keys.kid})
    return open_log(parse_sealed(kept.outer.encode()), tenant.seed, expected).log


def test_the_terms_name_a_script_by_its_hash_and_others_stay_as_they_were(
    use: Usecases, shop: Shop
) -> None:
    plain = use.draft(shop)
    assert "first_script" not in canonical.parse(plain.terms.encode())  # type: ignore[operator]
    assert terms_of(plain, promises_of(plain.terms)) == plain.terms
    draft = use.draft(shop, first_script=TEXT, first_script_timeout_s=60)
    script = promises_of(draft.terms).first_script
    assert script is not None
    assert (script.sha256, script.timeout_s) == (script_hash(TEXT), 60)
    assert script.on_failure is OnScriptFailure.HAND_OVER
    assert terms_of(draft, promises_of(draft.terms)) == draft.terms
    assert TEXT not in draft.terms
    for bad in ({"first_script": "echo"}, {"first_script": TEXT, "first_script_timeout_s": 1_790}):
        with pytest.raises(Invalid):
            use.draft(shop, **bad)


def test_only_its_provider_sees_the_text_of_an_offerings_script(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    offering = use.offering(shop, first_script=TEXT)

    def seen(member: Member) -> offerings.OfferingDetails:
        return use.read(
            lambda uow: offerings.read_offering(uow, member.caller, offering.id, use.now_ms)
        )

    assert seen(shop.owner).script_text == TEXT
    assert seen(tenant).script_text is None
    assert promises_of(seen(tenant).offering.terms).first_script is not None


def test_what_was_ordered_stays_though_the_offering_changes(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    offering = use.offering(shop, first_script=TEXT)
    contract = use.paid(tenant, offering)
    use.draft(shop, first_script=OTHER)
    ordered, text = use.read(
        lambda uow: first_scripts.script_for_agent(uow, shop.agent.caller, contract.id, use.now_ms)
    )
    assert text == TEXT
    assert ordered.script.sha256 == script_hash(TEXT)
    assert (ordered.terms, ordered.offer) == (offering.terms, offering.offer)


def test_only_agents_of_the_pool_get_the_text(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = use.paid(tenant, use.offering(shop, first_script=TEXT))
    other = use.shop().agent.caller
    with pytest.raises(NotFound):
        use.read(lambda uow: first_scripts.script_for_agent(uow, other, contract.id, use.now_ms))
    with pytest.raises(AgentNotAllowed):
        use.read(
            lambda uow: first_scripts.script_for_agent(uow, tenant.caller, contract.id, use.now_ms)
        )
    plain = use.paid(use.account(), use.offering(shop))
    with pytest.raises(NotFound):
        use.read(
            lambda uow: first_scripts.script_for_agent(uow, shop.agent.caller, plain.id, use.now_ms)
        )


def test_a_log_comes_with_the_machine_and_only_the_tenant_gets_it(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.paid(tenant, use.offering(shop, first_script=TEXT))
    with pytest.raises(NotFound):
        use.read(lambda uow: first_scripts.read_log(uow, tenant.caller, contract.id))
    fence = use.creating(shop.agent, contract)
    report = msgspec.structs.replace(
        use.success(shop.agent, tenant, contract, fence), log=sealed(shop, tenant, contract)
    )
    for _ in range(2):
        assert use.report(shop.agent, contract, report).contract.state is ContractState.PROVISIONED
    assert opened(use, shop, tenant, contract).output == b"canary-log"
    with pytest.raises(NotYourSide):
        use.read(lambda uow: first_scripts.read_log(uow, shop.owner.caller, contract.id))
    stranger = use.account().caller
    with pytest.raises(NotFound):
        use.read(lambda uow: first_scripts.read_log(uow, stranger, contract.id))


def test_a_machine_whose_script_failed_is_not_handed_over_and_its_log_is_kept(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.paid(
        tenant, use.offering(shop, first_script=TEXT, first_script_on_failure="fail")
    )
    fence = use.creating(shop.agent, contract)
    report = FailedReport(
        fence=fence,
        reason=ProvisionFailure.SCRIPT_FAILED,
        left_behind="dc-1",
        log=sealed(shop, tenant, contract),
    )
    for _ in range(2):
        said = use.report(shop.agent, contract, report)
        assert said.contract.state is ContractState.FAILED
        assert said.assignment.desired is Desired.ABSENT
    assert opened(use, shop, tenant, contract).exit_code == 2
    assert sum(refund.amount_minor for refund in use.refunds(contract)) == contract.total_minor


def test_a_log_sealed_to_a_generation_that_does_not_exist_is_refused(
    use: Usecases, shop: Shop, tenant: Member
) -> None:
    contract = use.paid(tenant, use.offering(shop, first_script=TEXT))
    fence = use.creating(shop.agent, contract)
    report = use.success(shop.agent, tenant, contract, fence)
    wrong = msgspec.structs.replace(report, log=sealed(shop, tenant, contract, gen=9))
    with pytest.raises(Invalid):
        use.report(shop.agent, contract, wrong)


def test_the_first_log_of_a_number_stays(use: Usecases, shop: Shop, tenant: Member) -> None:
    contract = use.paid(tenant, use.offering(shop, first_script=TEXT))
    for n in (2, 1, 2):
        wire = sealed(shop, tenant, contract, n=n)
        use.write(
            lambda uow, wire=wire: first_scripts.store_log(  # type: ignore[misc]
                uow, contract, shop.agent.caller, wire, use.now_ms
            )
        )
    _, kept = use.read(lambda uow: first_scripts.read_log(uow, tenant.caller, contract.id))
    assert kept.n == 2

"""Agents: what a provider lets them do, for how long, and never more."""

from __future__ import annotations

import pytest

from decent_cloud.app import agents, pairing, providers
from decent_cloud.app.agents import AgentNotAllowed, WrongDriver
from decent_cloud.app.caller import PUBLIC, Caller, DeviceOnly
from decent_cloud.app.pairing import PairingJoined, PairingTaken
from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.domain.keys.errors import WrongSequence, WrongSigner
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.errors import AlreadyExists, Invalid, NotFound
from decent_cloud.kernel.ids import Digest, PoolId
from decent_cloud.kernel.status import AgentStatus, Permission
from decent_cloud.wire.v1.providers import CreatePool, CreateProvider, JoinPairing, OpenPairing
from tests.support.people import new_keys
from tests.support.usecases import Agent, Shop, Usecases

RID = "ab" * 16


def allowed(use: Usecases, agent: Agent, permission: Permission, pool: str | None = None) -> bool:
    asked = PoolId(pool) if pool else None
    try:
        use.read(lambda uow: agents.authorize(uow, agent.caller, permission, use.now_ms, asked))
    except AgentNotAllowed:
        return False
    return True


def status(use: Usecases, shop: Shop) -> AgentStatus:
    rows = use.read(
        lambda uow: agents.list_agents(uow, shop.owner.caller, shop.owner.id, use.now_ms)
    )
    return rows[0].status


def digest(use: Usecases, agent: Agent) -> Digest:
    found = use.read(lambda uow: uow.providers.delegation(agent.provider, agent.keys.kid))
    assert found is not None
    return Digest(found.digest)


def test_an_agent_may_do_what_its_delegation_says_in_its_pool(use: Usecases) -> None:
    shop = use.shop()
    narrow = use.agent(shop.owner, shop.pool.id, ("heartbeat",))
    other = use.pool(shop.owner, "other")
    assert all(allowed(use, shop.agent, one, shop.pool.id) for one in Permission)
    assert not allowed(use, shop.agent, Permission.PROVISION, other.id)
    assert allowed(use, narrow, Permission.HEARTBEAT)
    assert not allowed(use, narrow, Permission.PROVISION)


def test_without_a_delegation_an_agent_of_the_chain_may_do_nothing(use: Usecases) -> None:
    shop = use.shop()
    bare = Agent(new_keys(), shop.owner.id)
    use.add_device(shop.owner, bare.keys, DeviceType.AGENT, Rank.READER)
    assert not allowed(use, bare, Permission.HEARTBEAT)


def test_a_delegation_ends_when_it_said(use: Usecases) -> None:
    shop = use.shop()
    not_after_s = use.now_ms // 1_000 + 5
    last = digest(use, shop.agent)
    use.delegate(shop.owner, shop.agent, shop.pool.id, prev=last, not_after_s=not_after_s)
    use.wait(5 * SECOND_MS + 999)
    assert allowed(use, shop.agent, Permission.PROVISION), "the last second counts in full"
    use.wait(1)
    assert not allowed(use, shop.agent, Permission.PROVISION)
    assert status(use, shop) is AgentStatus.REVOKED


def test_a_revoked_agent_comes_back_only_by_a_statement_that_knows_of_it(use: Usecases) -> None:
    shop = use.shop()
    first = digest(use, shop.agent)
    use.revoke(shop.owner, shop.agent, first)
    assert not allowed(use, shop.agent, Permission.HEARTBEAT)
    for played_back in (None, first):
        with pytest.raises(WrongSequence):
            use.delegate(shop.owner, shop.agent, shop.pool.id, prev=played_back)
    assert not allowed(use, shop.agent, Permission.HEARTBEAT)
    use.delegate(shop.owner, shop.agent, shop.pool.id, prev=digest(use, shop.agent))
    assert allowed(use, shop.agent, Permission.HEARTBEAT)


def test_a_delegation_is_signed_by_a_device_of_the_provider(use: Usecases) -> None:
    shop, thief = use.shop(), use.account()
    last = digest(use, shop.agent)
    shop.owner.keys, kept = thief.keys, shop.owner.keys
    with pytest.raises(WrongSigner):
        use.delegate(shop.owner, shop.agent, shop.pool.id, prev=last)
    shop.owner.keys = shop.agent.keys
    with pytest.raises(WrongSigner):
        use.delegate(shop.owner, shop.agent, shop.pool.id, prev=last)
    shop.owner.keys = kept


@pytest.mark.parametrize(
    ("permissions", "pool", "field"),
    [
        (("fly",), "", "statement.perms"),
        ((), "", "statement.perms"),
        (("heartbeat",), "w-foreign", "statement.pool"),
    ],
)
def test_a_delegation_names_known_permissions_and_a_pool_of_ones_own(
    use: Usecases, permissions: tuple[str, ...], pool: str, field: str
) -> None:
    shop = use.shop()
    last = digest(use, shop.agent)
    with pytest.raises(Invalid) as refused:
        use.delegate(shop.owner, shop.agent, PoolId(pool or shop.pool.id), permissions, prev=last)
    assert refused.value.field == field


def test_a_delegation_that_has_run_out_already_is_refused(use: Usecases) -> None:
    shop = use.shop()
    with pytest.raises(Invalid) as refused:
        use.delegate(
            shop.owner, shop.agent, shop.pool.id, prev=digest(use, shop.agent), not_after_s=1
        )
    assert refused.value.field == "statement.not_after"


def test_an_agent_thrown_out_of_the_chain_is_no_agent_any_more(use: Usecases) -> None:
    shop = use.shop()
    use.rotate(shop.owner, {shop.agent.keys.kid})
    assert not allowed(use, shop.agent, Permission.HEARTBEAT)
    assert status(use, shop) is AgentStatus.REVOKED
    online = use.read(lambda uow: agents.agent_online(uow, shop.owner.id, shop.pool.id, use.now_ms))
    assert not online, "its last heartbeat is fresh, but it may not work"


def test_an_agent_that_may_not_provision_makes_no_pool_rentable(use: Usecases) -> None:
    shop = use.shop()
    use.revoke(shop.owner, shop.agent, digest(use, shop.agent))
    use.agent(shop.owner, shop.pool.id, ("health_check", "heartbeat"))
    assert not use.read(
        lambda uow: agents.agent_online(uow, shop.owner.id, shop.pool.id, use.now_ms)
    )


def test_an_agent_learns_who_it_is_and_is_found_by_its_key(use: Usecases) -> None:
    shop = use.shop()
    me = use.read(lambda uow: agents.agent_self(uow, shop.agent.caller, use.now_ms))
    assert (me.pool.id, me.delegation.agent) == (shop.pool.id, shop.agent.keys.kid)
    sig_hex = shop.agent.keys.sig.hex()
    assert (
        use.read(lambda uow: agents.find_agent(uow, shop.owner.id, sig_hex)) == me.delegation.agent
    )
    with pytest.raises(NotFound):
        use.read(lambda uow: agents.find_agent(uow, shop.owner.id, "00" * 32))


def test_what_was_never_delegated_cannot_be_revoked(use: Usecases) -> None:
    shop = use.shop()
    stranger = Agent(new_keys(), shop.owner.id)
    with pytest.raises(NotFound):
        use.revoke(shop.owner, stranger, None)


def test_an_agent_reads_its_providers_pools_and_nobody_elses_agents(use: Usecases) -> None:
    shop, other = use.shop(), use.shop()
    pools = use.read(lambda uow: providers.list_pools(uow, shop.agent.caller))
    assert [pool.id for pool in pools] == [shop.pool.id]
    with pytest.raises(NotFound):
        use.read(lambda uow: agents.list_agents(uow, other.owner.caller, shop.owner.id, use.now_ms))


def test_only_a_device_of_type_agent_is_delegated_to(use: Usecases) -> None:
    shop = use.shop()
    phone = Agent(new_keys(), shop.owner.id)
    use.add_device(shop.owner, phone.keys, DeviceType.PHONE, Rank.ORDINARY)
    with pytest.raises(Invalid):
        use.delegate(shop.owner, phone, shop.pool.id)


def test_an_agent_is_offline_five_minutes_after_its_last_word(use: Usecases) -> None:
    shop = use.shop()
    assert status(use, shop) is AgentStatus.ONLINE
    use.wait(5 * MINUTE_MS - 1)
    assert status(use, shop) is AgentStatus.ONLINE
    use.wait(1)
    assert status(use, shop) is AgentStatus.OFFLINE
    use.beat(shop.agent)
    assert status(use, shop) is AgentStatus.ONLINE


def test_an_agent_speaks_for_its_own_provider_only(use: Usecases) -> None:
    shop, other = use.shop(), use.shop()
    shop.agent.provider = other.owner.id
    with pytest.raises(AgentNotAllowed):
        use.beat(shop.agent)


def test_an_agent_with_another_driver_than_its_pools_is_not_heard(use: Usecases) -> None:
    shop = use.shop(driver="docker")
    use.wait(5 * MINUTE_MS)
    with pytest.raises(WrongDriver, match='set driver = "docker"') as refused:
        use.beat(shop.agent, "fake")
    assert refused.value.details["pool_driver"] == "docker"
    assert status(use, shop) is AgentStatus.OFFLINE
    use.beat(shop.agent, "docker")
    assert status(use, shop) is AgentStatus.ONLINE


def test_an_agent_lists_and_delegates_nothing(use: Usecases) -> None:
    shop = use.shop()
    with pytest.raises(DeviceOnly):
        use.read(lambda uow: agents.list_agents(uow, shop.agent.caller, shop.owner.id, use.now_ms))


def test_a_name_is_taken_once(use: Usecases) -> None:
    shop = use.shop()
    with pytest.raises(AlreadyExists):
        use.pool(shop.owner, "main")
    profile = CreateProvider(name="Again")
    with pytest.raises(AlreadyExists):
        use.write(
            lambda uow: providers.create_provider(uow, shop.owner.caller, profile, use.now_ms)
        )


def test_a_website_is_an_address(use: Usecases) -> None:
    profile = CreateProvider(name="Again", website="javascript:alert(1)")
    member = use.account()
    with pytest.raises(Invalid) as refused:
        use.write(lambda uow: providers.create_provider(uow, member.caller, profile, use.now_ms))
    assert refused.value.field == "website"


def test_who_is_no_provider_has_no_pools(use: Usecases) -> None:
    member = use.account()
    with pytest.raises(providers.NotAProvider):
        use.write(
            lambda uow: providers.create_pool(
                uow, member.caller, CreatePool(name="p", driver="fake"), use.now_ms, "w1"
            )
        )


def test_a_profile_is_public_once_there_is_something_to_see(use: Usecases) -> None:
    shop, stranger = use.shop(), use.account()

    def seen(caller: Caller) -> bool:
        try:
            use.read(lambda uow: providers.read_provider(uow, caller, shop.owner.id))
        except NotFound:
            return False
        return True

    assert seen(stranger.caller)
    assert not seen(PUBLIC)
    use.offering(shop)
    assert seen(PUBLIC)


def test_the_relay_keeps_the_first_answer_until_it_is_opened_again(use: Usecases) -> None:
    shop, other = use.shop(), use.account()
    opening = OpenPairing(message="b2xk", pool=shop.pool.id, ttl_s=60)
    use.write(lambda uow: pairing.open_pairing(uow, shop.owner.caller, RID, opening, use.now_ms))
    foreign = OpenPairing(message="b2xk", pool="", ttl_s=60)
    with pytest.raises(PairingTaken):
        use.write(lambda uow: pairing.open_pairing(uow, other.caller, RID, foreign, use.now_ms))
    first, second = JoinPairing(message="bmV3"), JoinPairing(message="bmV4")
    use.write(lambda uow: pairing.join_pairing(uow, RID, first, use.now_ms))
    again = use.write(lambda uow: pairing.join_pairing(uow, RID, first, use.now_ms))
    assert again.new_message == "bmV3"
    with pytest.raises(PairingJoined):
        use.write(lambda uow: pairing.join_pairing(uow, RID, second, use.now_ms))
    use.write(lambda uow: pairing.open_pairing(uow, shop.owner.caller, RID, opening, use.now_ms))
    joined = use.write(lambda uow: pairing.join_pairing(uow, RID, second, use.now_ms))
    assert joined.new_message == "bmV4"
    chain = use.read(lambda uow: pairing.pairing_chain(uow, RID, use.now_ms))
    assert chain.account.id == shop.owner.id
    use.wait(60 * SECOND_MS)
    with pytest.raises(NotFound):
        use.read(lambda uow: pairing.read_pairing(uow, RID, use.now_ms))


def test_the_relay_keeps_no_empty_message(use: Usecases) -> None:
    shop = use.shop()
    opening = OpenPairing(message="", pool="")
    with pytest.raises(Invalid) as refused:
        use.write(
            lambda uow: pairing.open_pairing(uow, shop.owner.caller, RID, opening, use.now_ms)
        )
    assert refused.value.field == "message"


def test_a_pairing_names_a_pool_of_ones_own(use: Usecases) -> None:
    shop, other = use.shop(), use.shop()
    opening = OpenPairing(message="b2xk", pool=other.pool.id, ttl_s=60)
    with pytest.raises(Invalid) as refused:
        use.write(
            lambda uow: pairing.open_pairing(uow, shop.owner.caller, RID, opening, use.now_ms)
        )
    assert refused.value.field == "pool"

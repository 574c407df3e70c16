"""Accounts: chains that grow with their boxes, who may read them, devices that may sign."""

from __future__ import annotations

from typing import Any

import pytest

from decent_cloud.app import accounts
from decent_cloud.app.accounts import SeqTaken
from decent_cloud.app.caller import PUBLIC, CallerKind, DeviceOnly, ReadOnlyDevice
from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.domain.keys.errors import ChainRule
from decent_cloud.domain.keys.links import build_add
from decent_cloud.domain.keys.statements import StatementType, cosign
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.errors import AlreadyExists, Invalid, NotFound, Unauthenticated
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.accounts import CreateAccount, SetProfile
from tests.support.people import box_of, genesis, genesis_body, new_keys
from tests.support.usecases import Usecases


def test_an_account_begins_with_its_devices_and_their_boxes(use: Usecases) -> None:
    member = use.account()
    details = use.read(lambda uow: accounts.read_account(uow, member.caller, member.id))
    assert details.account.head == member.id
    assert {device.kid for device in details.devices} == {member.keys.kid, member.recovery.kid}
    boxes = use.read(lambda uow: accounts.read_boxes(uow, member.caller))
    assert [box.gen for box in boxes.boxes] == [1]


def test_the_same_genesis_is_no_second_account(use: Usecases) -> None:
    link, _, _, seed = genesis()
    command = convert(genesis_body(link, seed), CreateAccount)
    use.write(lambda uow: accounts.create_account(uow, command, use.now_ms))
    with pytest.raises(AlreadyExists):
        use.write(lambda uow: accounts.create_account(uow, command, use.now_ms))


def test_a_genesis_without_a_box_for_each_device_is_refused(use: Usecases) -> None:
    link, _, _, seed = genesis()
    body: dict[str, Any] = genesis_body(link, seed)
    for boxes in (body["boxes"][:1], [*body["boxes"], body["boxes"][0]], []):
        command = convert(body | {"boxes": boxes}, CreateAccount)
        with pytest.raises(ChainRule):
            create(use, command)


def create(use: Usecases, command: CreateAccount) -> None:
    use.write(lambda uow: accounts.create_account(uow, command, use.now_ms))


def test_a_device_joins_with_its_box_and_can_sign(use: Usecases) -> None:
    member, keys = use.account(), new_keys()
    details = use.add_device(member, keys, DeviceType.PHONE, Rank.ORDINARY)
    assert details.account.seq == 1
    signer = use.read(lambda uow: accounts.find_signer(uow, member.id, keys.kid))
    assert signer.caller.kind is CallerKind.DEVICE
    assert signer.sig_hex == keys.sig.hex()
    boxes = use.read(lambda uow: accounts.read_boxes(uow, member.caller_of(keys)))
    assert len(boxes.boxes) == 1


def test_a_link_whose_box_is_missing_changes_nothing(use: Usecases) -> None:
    member, keys = use.account(), new_keys()
    device = keys.public(DeviceType.PHONE, Rank.ORDINARY)
    link = cosign(
        StatementType.LINK, build_add(member.chain.next_place, device, [keys]), member.keys
    )
    with pytest.raises(ChainRule):
        use.append(member, {"link": link.to_json(), "boxes": []})
    chain = use.read(lambda uow: accounts.read_chain(uow, member.caller, member.id))
    assert len(chain.links) == 1
    with pytest.raises(Unauthenticated):
        use.read(lambda uow: accounts.find_signer(uow, member.id, keys.kid))


def test_of_two_links_for_one_place_the_second_is_told_to_reload(use: Usecases) -> None:
    member = use.account()
    bodies = []
    for keys in (new_keys(), new_keys()):
        device = keys.public(DeviceType.PHONE, Rank.ORDINARY)
        link = cosign(
            StatementType.LINK, build_add(member.chain.next_place, device, [keys]), member.keys
        )
        boxes = [box_of(member.seed, member.id, device)]
        bodies.append({"link": link.to_json(), "boxes": boxes})
    use.append(member, bodies[0])
    with pytest.raises(SeqTaken):
        use.append(member, bodies[1])
    with pytest.raises(SeqTaken):
        use.append(member, bodies[0])


def test_a_rotation_locks_a_device_out_and_keeps_the_way_to_older_seeds(use: Usecases) -> None:
    member = use.account()
    body, _ = use.rotation(member, {member.keys.kid})
    with pytest.raises(ChainRule):
        use.append(member, body | {"old_seed": ""})
    use.append(member, body)
    with pytest.raises(Unauthenticated):
        use.read(lambda uow: accounts.find_signer(uow, member.id, member.keys.kid))
    left = member.caller_of(member.recovery, Rank.RECOVERY)
    boxes = use.read(lambda uow: accounts.read_boxes(uow, left))
    assert [box.gen for box in boxes.boxes] == [1, 2]
    assert [seed.gen for seed in boxes.old_seeds] == [2]


def test_a_box_of_an_older_generation_is_refused(use: Usecases) -> None:
    member = use.account()
    body, _ = use.rotation(member, set())
    older = [box | {"gen": 1} for box in body["boxes"]]
    with pytest.raises(ChainRule):
        use.append(member, body | {"boxes": older})
    use.append(member, body)


def test_who_does_not_exist_has_no_account(use: Usecases) -> None:
    with pytest.raises(NotFound):
        use.read(lambda uow: accounts.get_account(uow, AccountId("0" * 64)))


def test_a_reader_changes_nothing(use: Usecases) -> None:
    member, keys = use.account(), new_keys()
    use.add_device(member, keys, DeviceType.CLI, Rank.READER)
    reader = member.caller_of(keys, Rank.READER)
    with pytest.raises(ReadOnlyDevice):
        use.write(lambda uow: accounts.set_profile(uow, reader, SetProfile(email="a@b")))
    details = use.read(lambda uow: accounts.read_account(uow, reader, member.id))
    assert details.profile.email == ""


def test_a_chain_is_shown_to_those_who_have_dealings_with_it(use: Usecases) -> None:
    shop, tenant, stranger = use.shop(), use.account(), use.account()
    offering = use.offering(shop, visibility="shared", allowed_accounts=[tenant.id])

    def may(caller: Any, account: Any) -> bool:
        try:
            use.read(lambda uow: accounts.read_chain(uow, caller, account))
        except NotFound:
            return False
        return True

    assert may(tenant.caller, shop.owner.id), "may see an offering"
    assert not may(stranger.caller, shop.owner.id)
    assert not may(PUBLIC, shop.owner.id)
    assert not may(shop.agent.caller, tenant.id), "no contract yet"
    use.order(tenant, offering)
    assert may(shop.agent.caller, tenant.id)
    assert may(shop.agent.caller, shop.owner.id)
    assert not may(stranger.caller, tenant.id)
    use.offering(shop)
    assert may(PUBLIC, shop.owner.id), "a public offering shows its provider's chain"


def test_personal_fields_are_the_accounts_own(use: Usecases) -> None:
    member, stranger = use.account(), use.account()
    profile = SetProfile(display_name="Ada", email="ada@example.org")
    details = use.write(lambda uow: accounts.set_profile(uow, member.caller, profile))
    assert details.profile.display_name == "Ada"
    with pytest.raises(NotFound):
        use.read(lambda uow: accounts.read_account(uow, stranger.caller, member.id))
    with pytest.raises(Invalid) as refused:
        use.write(lambda uow: accounts.set_profile(uow, member.caller, SetProfile(email="ada")))
    assert refused.value.field == "email"


def test_an_agent_has_no_boxes_and_is_no_device(use: Usecases) -> None:
    shop = use.shop()
    with pytest.raises(DeviceOnly):
        use.read(lambda uow: accounts.read_boxes(uow, shop.agent.caller))


def test_only_a_device_of_a_granted_account_is_admin(use: Usecases) -> None:
    shop = use.shop()
    use.write(lambda uow: accounts.grant_admin(uow, shop.owner.id))
    own = use.read(lambda uow: accounts.find_signer(uow, shop.owner.id, shop.owner.keys.kid))
    agent = use.read(lambda uow: accounts.find_signer(uow, shop.owner.id, shop.agent.keys.kid))
    assert own.caller.admin
    assert not agent.caller.admin
    assert agent.caller.kind is CallerKind.AGENT
    use.write(lambda uow: accounts.grant_admin(uow, shop.owner.id, admin=False))
    own = use.read(lambda uow: accounts.find_signer(uow, shop.owner.id, shop.owner.keys.kid))
    assert not own.caller.admin

"""Hetzner's own client goes its normal way on the fake: the fake answers as the vendor's judge expects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hcloud import APIException, Client
from hcloud.actions import ActionFailedException
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer, CreateServerResponse

from tests.support.clouds.hetzner import READ_ONLY, TOKEN, HetznerCloud, refusal
from tests.support.clouds.server import serving_cloud

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFqUUlyyUJy4UElTeP4S5W5qiGVrcN2KMQTP8AYPHfS me"


@pytest.fixture
def cloud() -> Iterator[HetznerCloud]:
    with serving_cloud(HetznerCloud()) as cloud:
        yield cloud


def client(cloud: HetznerCloud, token: str = TOKEN) -> Client:
    return Client(token, api_endpoint=f"{cloud.origin}/v1", poll_interval=0)


def order(
    cloud: HetznerCloud, name: str = "one", labels: dict[str, str] | None = None
) -> CreateServerResponse:
    return client(cloud).servers.create(
        name=name,
        server_type=ServerType(name="cpx22"),
        image=Image(name="debian-12"),
        location=Location(name="nbg1"),
        labels=labels,
    )


def made(cloud: HetznerCloud) -> BoundServer:
    answer = order(cloud)
    for action in (answer.action, *answer.next_actions):
        action.wait_until_finished()
    return again(cloud, answer.server)


def again(cloud: HetznerCloud, server: BoundServer) -> BoundServer:
    return client(cloud).servers.get_by_id(number(server))


def number(server: BoundServer) -> int:
    assert server.id is not None
    return server.id


def test_order_wait_reset_stop_start_delete(cloud: HetznerCloud) -> None:
    server = made(cloud)
    assert server.status == "running"
    assert server.public_net is not None
    assert server.public_net.ipv4 is not None
    assert server.public_net.ipv4.ip == "203.0.113.2"
    reset = server.reset_password()
    reset.action.wait_until_finished()
    assert cloud.passwords[number(server)] == reset.root_password
    server.shutdown().wait_until_finished()
    assert again(cloud, server).status == "off"
    server.power_on().wait_until_finished()
    assert [each.command for each in server.get_actions()][:2] == ["create_server", "start_server"]
    server.delete().wait_until_finished()
    with pytest.raises(APIException) as refused:
        again(cloud, server)
    assert refused.value.code == "not_found"


def test_a_server_with_a_key_gets_no_password_of_hetzners(cloud: HetznerCloud) -> None:
    assert order(cloud).root_password
    key = client(cloud).ssh_keys.create(name="k", public_key=PUBLIC_KEY, labels={"a": "b"})
    with pytest.raises(APIException) as refused:
        client(cloud).ssh_keys.create(name="other", public_key=PUBLIC_KEY)
    assert refused.value.code == "uniqueness_error"
    found = client(cloud).ssh_keys.get_by_name("k")
    assert found is not None
    assert (found.id, found.labels) == (key.id, {"a": "b"})
    assert cloud.mailed == ["one"]
    assert key.delete()
    assert cloud.keys == {}


def test_a_name_is_taken_once_and_found_by_it_and_by_label(cloud: HetznerCloud) -> None:
    order(cloud, labels={"a": "b"})
    with pytest.raises(APIException) as refused:
        order(cloud)
    assert refused.value.code == "uniqueness_error"
    found = client(cloud).servers.get_by_name("one")
    assert found is not None
    (labelled,) = client(cloud).servers.get_all(label_selector="a==b")
    assert labelled.id == found.id
    assert client(cloud).servers.get_all(label_selector="a==c") == []


def test_lists_have_pages(cloud: HetznerCloud) -> None:
    for number in range(60):
        cloud.put_in(f"s{number}")
    assert len(client(cloud).servers.get_all()) == 60


def test_the_catalogue_reads(cloud: HetznerCloud) -> None:
    mine = client(cloud)
    cpx22 = mine.server_types.get_by_name("cpx22")
    assert cpx22 is not None
    assert (cpx22.cores, cpx22.architecture) == (2, "x86")
    assert mine.images.get_by_name_and_architecture("debian-12", "arm") is not None
    assert {each.name for each in mine.locations.get_all()} == {"fsn1", "nbg1"}


def test_wrong_and_read_only_tokens_are_refused(cloud: HetznerCloud) -> None:
    with pytest.raises(APIException) as refused:
        client(cloud, "wrong").servers.get_all()
    assert refused.value.code == "unauthorized"
    reader = client(cloud, READ_ONLY)
    assert reader.servers.get_all() == []
    with pytest.raises(APIException) as refused:
        reader.ssh_keys.create(name="x", public_key=PUBLIC_KEY)
    assert refused.value.code == "token_readonly"


def test_sold_out_locked_and_failing_actions(cloud: HetznerCloud) -> None:
    server = made(cloud)
    server.shutdown()
    cloud.fail("POST", "/actions/poweron$", refusal("locked"))
    with pytest.raises(APIException) as refused:
        server.power_on()
    assert refused.value.code == "locked"
    cloud.sell_out(locations=["nbg1"])
    with pytest.raises(APIException) as refused:
        order(cloud, "two")
    assert refused.value.code == "resource_unavailable"
    cloud.failing["start_server"] = "server_error"
    cloud.clock.advance(60_000)
    with pytest.raises(ActionFailedException):
        server.power_on().wait_until_finished()


def test_the_clients_own_repeats_make_one_server(cloud: HetznerCloud) -> None:
    cloud.fail("POST", "/servers$", refusal("bad_gateway"))
    order(cloud)
    assert len(cloud.servers) == 1
    assert len(cloud.asked("POST", "/servers$")) == 2

"""DigitalOcean's own client goes its normal way on the fake, over TLS: it refuses anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydo
import pytest

from tests.support.clouds.digitalocean import ACCOUNT, TOKEN, DigitalOceanCloud
from tests.support.clouds.server import serving_cloud
from tests.support.own_tls import own_tls

pytestmark = pytest.mark.slow  # reading the client takes seconds


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    context, trusted = own_tls(tmp_path)
    with (
        serving_cloud(DigitalOceanCloud(), context) as cloud,
        pydo.Client(token=TOKEN, endpoint=cloud.origin, connection_verify=str(trusted)) as made,
    ):
        yield made


def test_account_order_wait_find_stop_delete(client: Any) -> None:
    assert client.account.get()["account"]["uuid"] == ACCOUNT
    answer = client.droplets.create(body=order(tags=["decent-contract:one"]))
    number = answer["droplet"]["id"]
    assert answer["droplet"]["status"] == "new"
    assert until(client, number, "active")["networks"]["v4"]
    assert len(client.droplets.list(tag_name="decent-contract:one")["droplets"]) == 1
    action = client.droplet_actions.post(droplet_id=number, body={"type": "shutdown"})["action"]
    assert action["status"] == "in-progress"
    until(client, number, "off")
    kinds = [each["type"] for each in client.droplet_actions.list(droplet_id=number)["actions"]]
    assert kinds == ["shutdown", "create"]
    client.droplets.destroy(droplet_id=number)
    assert client.droplets.get(droplet_id=number)["id"] == "not_found"


def test_the_catalogue_is_read(client: Any) -> None:
    assert client.sizes.list()["sizes"]
    assert client.regions.list()["regions"]
    assert client.images.get(image_id="debian-12-x64")["image"]["slug"] == "debian-12-x64"


def test_a_wrong_order_is_refused_in_the_vendors_words(client: Any) -> None:
    with pytest.raises(Exception, match="invalid size"):
        client.droplets.create(body=order(size="none"))


def order(**changes: object) -> dict[str, object]:
    usual = {"name": "one", "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}
    return {**usual, **changes}


def until(client: Any, number: int, status: str) -> dict[str, Any]:
    for _ in range(30):
        droplet: dict[str, Any] = client.droplets.get(droplet_id=number)["droplet"]
        if droplet["status"] == status:
            return droplet
    raise AssertionError(f"never {status}")

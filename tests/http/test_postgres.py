"""The same server on PostgreSQL, and two of them on one database."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.programs.server import Ports
from decent_cloud.programs.server_settings import ServerSettings
from tests.http.test_streams import listening
from tests.support.market import OpenDoor, deliver, order_body, order_for, publish, rent
from tests.support.people import Person, idempotency, new_person, new_shop
from tests.support.platform import running_platform

pytestmark = pytest.mark.postgres


def _settings(folder: Path, url: str, *origins: str) -> ServerSettings:
    return ServerSettings(
        data=str(folder), listen="127.0.0.1:0", database=url, public_origins=origins
    )


def test_two_servers_share_one_database(tmp_path: Path, postgres_database: Any) -> None:
    """A contract ordered at one server is worked on through the other, whose streams hear of it."""
    settings = _settings(tmp_path, postgres_database())
    ports = Ports(reach=OpenDoor())
    with (
        running_platform(tmp_path, ports, settings) as one,
        running_platform(tmp_path, ports, settings) as two,
    ):
        ada, shop = new_person(one.url), new_shop(two.url)
        offering = publish(shop)
        with listening(shop.agent, "/agents/me/events") as stream:
            assert stream.next()[1] == "hello"
            contract = rent(ada, offering)
            assert stream.next()[2]["contract"] == contract["id"]
        active = deliver(shop, ada, contract)
        assert active["state"] == "active"
        elsewhere = Person(two.url, ada.keys, ada.recovery, ada.seed, ada.chain)
        assert elsewhere.api.get(f"/contracts/{contract['id']}").json()["state"] == "active"


def test_copies_of_one_request_at_two_servers_have_one_effect(
    tmp_path: Path, postgres_database: Any
) -> None:
    settings = _settings(tmp_path, postgres_database())
    ports = Ports(reach=OpenDoor())
    with (
        running_platform(tmp_path, ports, settings) as one,
        running_platform(tmp_path, ports, settings) as two,
    ):
        ada, shop = new_person(one.url), new_shop(one.url)
        offering = publish(shop)
        body, headers = order_body(order_for(ada, offering), ada.keys), idempotency()
        apis = [
            Person(url, ada.keys, ada.recovery, ada.seed, ada.chain).api
            for url in (one.url, two.url)
            for _ in range(4)
        ]
        answers: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda api=api: answers.append(
                    api.write("POST", "/contracts", body, headers)
                )
            )
            for api in apis
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        kept = one.read(lambda uow: uow.offerings.get(offering["id"]))
        assert kept is not None
        assert kept.reserved == 1

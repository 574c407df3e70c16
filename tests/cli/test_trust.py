"""A platform that rolls back, forks, swaps or forges is refused with exit code 3."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, OfferingId
from decent_cloud.programs.server_settings import ServerSettings
from tests.cli.conftest import Desk, working_agent
from tests.support.market import heartbeat, publish
from tests.support.people import Shop, delegate, new_keys
from tests.support.platform import Platform, running_platform

pytestmark = pytest.mark.slow  # whole accounts on a whole platform

HOURS = ("--hours", "1")


@pytest.fixture(scope="module")
def offering(shop: Shop) -> str:
    return str(publish(shop)["id"])


def _rent(shop: Shop, tenant: Desk, offering: str, ssh_key: str) -> Any:
    heartbeat(shop)
    with working_agent(shop, tenant.person()):
        return tenant.run("rent", offering, *HOURS, "--ssh-key", ssh_key, "--yes")


def test_a_platform_restored_from_an_older_copy_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_platform(data) as first:
        desk = Desk(tmp_path / "ada", first.url)
        desk.run("account", "create")
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in ("platform.key", "master.key"):
            (copy / name).write_bytes((data / name).read_bytes())
            (copy / name).chmod(0o600)
        with (
            sqlite3.connect(data / "decent.db") as source,
            sqlite3.connect(copy / "decent.db") as target,
        ):
            source.backup(target)
        source.close()
        target.close()
        added = desk.person().add_device(new_keys(), DeviceType.AGENT, Rank.READER)
        assert added.status_code == 201
        assert desk.run("account", "show")["seq"] == 1
    settings = ServerSettings(data=str(copy), listen="127.0.0.1:0")
    with running_platform(copy, settings=settings) as older:
        error = Desk(desk.home, older.url).refused(3, "account", "show")
        assert error["code"] == "rolled_back"
        assert "do not sign" in error["cure"]


def test_a_chain_with_another_link_than_the_pinned_one_is_refused(stranger: Desk) -> None:
    account = stranger.run("account", "create")["id"]
    pins = stranger.profile / "pins.json"
    seen = json.loads(pins.read_text())
    seen["accounts"][account] = [0, "ab" * 32]
    pins.write_text(json.dumps(seen))
    assert stranger.refused(3, "account", "show")["code"] == "forked"


def test_damaged_pins_are_not_silently_made_anew(stranger: Desk) -> None:
    stranger.run("account", "create")
    (stranger.profile / "pins.json").write_text("{")
    assert stranger.refused(3, "account", "show")["code"] == "pins_damaged"


def test_a_chain_with_a_forged_link_is_refused(platform: Platform, stranger: Desk) -> None:
    account = AccountId(stranger.run("account", "create")["id"])
    stranger.person().add_device(new_keys(), DeviceType.AGENT, Rank.READER)

    data = Path(platform.server.settings.data) / "decent.db"
    with sqlite3.connect(data, timeout=10) as db:
        (text,) = db.execute(
            "SELECT statement FROM links WHERE account = ? AND seq = 1", (account,)
        ).fetchone()
        shape = json.loads(text)
        shape["s"] = shape["s"][:1]
        db.execute(
            "UPDATE links SET statement = ? WHERE account = ? AND seq = 1",
            (json.dumps(shape, separators=(",", ":")), account),
        )
    db.close()
    assert stranger.refused(3, "account", "show")["code"] == "wrong_signer"


def test_a_price_that_the_provider_did_not_sign_is_refused(
    platform: Platform, shop: Shop, tenant: Desk, ssh_key: str
) -> None:
    honest = publish(shop)

    def raise_price(uow: Any) -> None:
        found = uow.offerings.get(OfferingId(honest["id"]))
        uow.offerings.save(replace(found, price_minor_per_hour=999))

    platform.write(raise_price)
    error = tenant.refused(3, "rent", honest["id"], *HOURS, "--ssh-key", ssh_key, "--yes")
    assert (error["code"], error["errors"][0]["field"]) == ("terms_differ", "terms.price")

    def raise_both(uow: Any) -> None:
        found = uow.offerings.get(OfferingId(honest["id"]))
        uow.offerings.save(
            replace(found, terms=found.terms.replace('"amount_minor":10', '"amount_minor":999'))
        )

    platform.write(raise_both)
    assert (
        tenant.refused(3, "rent", honest["id"], *HOURS, "--ssh-key", ssh_key, "--yes")["code"]
        == "terms_differ"
    )


def test_a_credential_of_another_contract_does_not_open(
    platform: Platform, shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    first, second = (_rent(shop, tenant, offering, ssh_key)["id"] for _ in range(2))
    data = Path(platform.server.settings.data) / "decent.db"
    with sqlite3.connect(data, timeout=10) as db:
        (outer,) = db.execute(
            "SELECT [outer] FROM credentials WHERE contract = ?", (first,)
        ).fetchone()
        db.execute("UPDATE credentials SET [outer] = ? WHERE contract = ?", (outer, second))
    db.close()
    assert tenant.run("creds", "show", first)["contract"] == first
    assert tenant.refused(3, "creds", "show", second)["code"] == "cannot_open"
    assert tenant.refused(3, "ssh", second)["code"] == "cannot_open"


def test_a_contract_under_another_order_is_refused(
    platform: Platform, shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    found = _rent(shop, tenant, offering, ssh_key)
    data = Path(platform.server.settings.data) / "decent.db"
    with sqlite3.connect(data, timeout=10) as db:
        db.execute("UPDATE contracts SET digest = ? WHERE id = ?", ("ab" * 32, found["id"]))
    db.close()
    assert tenant.refused(3, "creds", "show", found["id"])["code"] == "contract_differs"


def test_a_credential_seen_before_a_revocation_stays_and_a_new_device_refuses_it(
    shop: Shop, provider: Desk, tenant: Desk, offering: str, ssh_key: str
) -> None:
    found = _rent(shop, tenant, offering, ssh_key)
    provider.run("agents", "revoke", shop.agent_keys.kid, "--yes")
    assert tenant.run("creds", "show", found["id"])["agent"] == shop.agent_keys.kid
    pins = tenant.profile / "pins.json"
    kept = pins.read_text()
    forgotten = json.loads(kept) | {"credentials": {}}
    pins.write_text(json.dumps(forgotten))
    assert tenant.refused(3, "creds", "show", found["id"])["code"] == "cannot_open"
    pins.write_text(kept)
    digest = provider.run("agents", "revoke", shop.agent_keys.kid, "--yes")["digest"]
    allowed = tuple(sorted(("fetch_contracts", "health_check", "heartbeat", "provision")))
    assert delegate(shop, allowed, Digest(digest)).status_code == 201
    pins.write_text(json.dumps(forgotten))
    assert tenant.run("creds", "show", found["id"])["agent"] == shop.agent_keys.kid


def test_an_older_credential_than_the_last_one_is_refused(
    shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    found = _rent(shop, tenant, offering, ssh_key)
    pins = tenant.profile / "pins.json"
    seen = json.loads(pins.read_text())
    assert seen["credentials"][found["digest"]][0] == 1
    seen["credentials"][found["digest"]] = [2, "ab" * 32]
    pins.write_text(json.dumps(seen))
    assert tenant.refused(3, "creds", "show", found["id"])["code"] == "cannot_open"


def test_nobody_else_reads_a_contract(
    shop: Shop, tenant: Desk, stranger: Desk, offering: str, ssh_key: str
) -> None:
    found = _rent(shop, tenant, offering, ssh_key)
    stranger.run("account", "create")
    for command in (("contracts", "show"), ("creds", "show"), ("ssh",), ("contracts", "cancel")):
        assert stranger.refused(5, *command, found["id"])["code"] == "not_found"
    assert ContractId(found["id"]) not in [
        one["id"] for one in stranger.run("contracts", "list")["items"]
    ]

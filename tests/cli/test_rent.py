"""Renting at the command line: verified, signed, paid, followed, opened; refused wherever something is odd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.cli.access import OddAccess, ssh_call
from decent_cloud.cli.session import Session
from decent_cloud.cli.settings import Globals
from decent_cloud.client.offerings import verified_quote
from decent_cloud.client.rentals import OrderJournal, SignedOrder, Signer, Wish, sign
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.wire.v1.contracts import PayWith
from decent_cloud.wire.v1.offerings import OfferingView
from tests.cli.conftest import SSH_PUBLIC, Desk, working_agent
from tests.support.market import HOST_KEY, heartbeat, publish
from tests.support.people import Shop

pytestmark = pytest.mark.slow  # whole accounts on a whole platform

HOURS = ("--hours", "2")
CARD = ("--pay", "sandbox", "--card", "test-ok")


@pytest.fixture(scope="module")
def offering(shop: Shop) -> str:
    return str(publish(shop)["id"])


@pytest.fixture(scope="module")
def rented(
    shop: Shop, tenant: Desk, offering: str, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Give an active contract of the tenant, as `rent --json` printed it."""
    folder = Path(tmp_path_factory.mktemp("ssh"))
    (folder / "key").write_text("private")
    (folder / "key.pub").write_text(SSH_PUBLIC + "\n")
    with working_agent(shop, tenant.person()):
        return tenant.run(
            "rent", offering, *HOURS, "--ssh-key", str(folder / "key"), *CARD, "--yes"
        )


def _signed(tenant: Desk, shop: Shop, offering: str) -> SignedOrder:
    view = codec.convert(tenant.run("offering", "show", offering), OfferingView)
    person = tenant.person()
    quote = verified_quote(view, _chain(shop))
    wish = Wish(1, (SSH_PUBLIC.rsplit(" ", 1)[0],), PayWith(method="sandbox", card="test-ok"))
    return sign(quote, wish, Signer(person.chain, person.keys), SystemClock().now_ms())


def _chain(shop: Shop) -> ChainState:
    return shop.owner.chain


def test_a_rental_ends_active_with_an_opened_credential(rented: Any) -> None:
    assert rented["state"] == "active"
    assert rented["total"] == {"amount_minor": "20", "asset": "USD"}
    access = rented["access"]
    assert (access["host"], access["port"], access["user"]) == ("127.0.0.1", 2222, "tenant")
    assert access["host_keys"] == [HOST_KEY]
    assert (access["has_password"], access["password"]) == (True, None)
    assert rented["ssh"][0] == "ssh"


def test_a_person_sees_price_steps_and_how_to_log_in(
    shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    heartbeat(shop)
    with working_agent(shop, tenant.person()):
        result = tenant.try_("rent", offering, *HOURS, "--ssh-key", ssh_key, *CARD, "--yes")
    assert result.exit_code == 0, result.stderr
    assert "2 h x 0.10 USD = 0.20 USD" in result.stderr
    states = [line.split()[2] for line in result.stderr.splitlines() if " s  " in line]
    assert states[-1] == "active"
    assert "log in" in result.stdout
    assert "canary-secret" not in result.output


def test_watched_as_json_there_is_a_line_for_each_step(
    shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    heartbeat(shop)
    with working_agent(shop, tenant.person()):
        result = tenant.try_(
            "--json", "rent", offering, *HOURS, "--ssh-key", ssh_key, "--watch", "--yes", "--reveal"
        )
    *steps, last = [codec.from_json(line, dict[str, Any]) for line in result.stdout.splitlines()]
    assert steps[-1]["state"] == "active"
    assert all(step["contract"] == last["id"] for step in steps)
    assert last["access"]["password"] == "canary-secret-7f3a"


def test_credentials_are_hidden_until_asked_for(tenant: Desk, rented: Any) -> None:
    assert "canary-secret" not in tenant.show("creds", "show", rented["id"])
    assert "canary-secret-7f3a" in tenant.show("creds", "show", rented["id"], "--reveal")
    shown = tenant.run("creds", "show", rented["id"])
    assert shown["fingerprints"][0].startswith("SHA256:")
    assert shown["contract"] == rented["id"]


def test_ssh_takes_the_signed_host_key_and_no_other(
    tenant: Desk, rented: Any, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "ssh").write_text(
        f'#!/bin/sh\nfor word in "$@"; do echo "$word" >> {seen}; done\nexit 7\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    script = "from decent_cloud.programs.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "ssh", rented["id"], "--", "uname -a; id"],
        env={**tenant.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    words = seen.read_text().splitlines()
    assert words[-3:] == ["--", "127.0.0.1", "uname -a; id"]
    assert "StrictHostKeyChecking=yes" in words
    assert words[words.index("-p") + 1] == "2222"
    assert words[words.index("-i") + 1].endswith("/key")
    assert "canary-secret" not in seen.read_text()
    (known,) = (word.split("=", 1)[1].strip('"') for word in words if word.startswith("UserKnown"))
    assert Path(known).read_text() == f"decent-{rented['id']} {HOST_KEY}\n"


def test_ssh_prints_its_call_instead(tenant: Desk, rented: Any) -> None:
    assert tenant.run("ssh", rented["id"], "--print", "--", "id")[-1] == "id"
    assert "StrictHostKeyChecking=yes" in tenant.show(
        "ssh", rented["id"], "--print", "-i", "other key"
    )


def test_contracts_are_listed_shown_watched_and_explained(tenant: Desk, rented: Any) -> None:
    id_ = rented["id"]
    assert id_ in [
        one["id"] for one in tenant.run("contracts", "list", "--state", "active")["items"]
    ]
    assert id_ in tenant.show("contracts", "list")
    assert tenant.run("contracts", "show", id_)["credential_n"] == 1
    page = tenant.show("contracts", "show", id_)
    assert "0.20 USD for 2 h" in page
    assert "settled" in page
    events = [one["event"] for one in tenant.run("contracts", "events", id_)["items"]]
    assert events[0] == "ordered"
    assert "reached" in events
    assert "reached" in tenant.show("contracts", "events", id_)
    assert "active" in tenant.try_("contracts", "watch", id_, "--until", "active").stderr


def test_a_contract_is_extended_by_a_signed_order(tenant: Desk, shop: Shop, rented: Any) -> None:
    heartbeat(shop)
    id_ = rented["id"]
    assert tenant.refused(2, "contracts", "extend", id_, *HOURS)["errors"][0]["field"] == "yes"
    found = tenant.run("contracts", "extend", id_, "--hours", "3", "--yes", *CARD)
    assert [term["hours"] for term in found["terms"]] == [2, 3]
    assert list((tenant.profile / "orders").iterdir()) == []


def test_cancelling_pays_back_what_was_not_used(
    shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    heartbeat(shop)
    with working_agent(shop, tenant.person()):
        id_ = tenant.run("rent", offering, *HOURS, "--ssh-key", ssh_key, "--yes")["id"]
    ended = tenant.run("contracts", "cancel", id_, "--reason", "done")
    assert (ended["state"], ended["end_reason"]) == ("cancelled", "done")
    assert ended["refunds"]
    assert (
        tenant.run("contracts", "watch", id_)["state"] == "cancelled"
    )  # the state it is in, one line
    assert tenant.refused(6, "contracts", "cancel", id_)["code"] == "illegal_transition"
    assert tenant.refused(6, "contracts", "confirm", id_)["code"] == "illegal_transition"


def test_a_declined_card_ends_the_rental_with_its_reason(
    shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    heartbeat(shop)
    declined = ("--pay", "sandbox", "--card", "test-declined", "--yes")
    error = tenant.refused(6, "rent", offering, *HOURS, "--ssh-key", ssh_key, *declined)
    assert error["code"] == "rental_ended"
    assert "declined" in error["message"]


def test_a_total_above_the_bound_is_not_signed(tenant: Desk, offering: str, ssh_key: str) -> None:
    before = len(tenant.run("contracts", "list")["items"])
    bound = ("--ssh-key", ssh_key, "--max-price", "0.19", "--yes")
    error = tenant.refused(6, "rent", offering, *HOURS, *bound)
    assert (error["code"], error["errors"][0]["field"]) == ("too_expensive", "max_price")
    assert (
        tenant.refused(2, "rent", offering, *HOURS, "--ssh-key", ssh_key)["errors"][0]["field"]
        == "yes"
    )
    assert len(tenant.run("contracts", "list")["items"]) == before


@pytest.mark.parametrize(
    ("args", "exit_code", "field"),
    [
        (("--hours", "1000"), 2, "hours"),
        ((), 2, "hours"),
        (("--hours", "1", "--pay", "Bad Method"), 2, "pay"),
    ],
)
def test_a_wish_that_cannot_be_is_named(
    tenant: Desk, offering: str, ssh_key: str, args: tuple[str, ...], exit_code: int, field: str
) -> None:
    error = tenant.refused(exit_code, "rent", offering, "--ssh-key", ssh_key, "--yes", *args)
    assert any(field in one["field"] for one in error["errors"]), error


def test_keys_that_are_none_are_refused_with_their_cure(
    tenant: Desk, offering: str, tmp_path: Path
) -> None:
    file = tmp_path / "id"
    cases = {
        "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n": ".pub file",
        'command="x" ' + SSH_PUBLIC: "options",
        "ssh-ed25519 AAAA": "cut off",
        "": "empty",
    }
    for text, word in cases.items():
        file.write_text(text)
        error = tenant.refused(2, "rent", offering, *HOURS, "--ssh-key", str(file), "--yes")
        assert (error["code"], error["errors"][0]["field"]) == ("bad_ssh_key", "ssh_key")
        assert word in error["message"]
        assert "canary" not in error["message"]
    missing = ("--ssh-key", str(tmp_path / "none"), "--yes")
    assert "ssh-keygen" in tenant.refused(5, "rent", offering, *HOURS, *missing)["message"]
    assert tenant.refused(2, "rent", offering, *HOURS, "--yes")["errors"][0]["field"] == "ssh_key"
    folder = ("--ssh-key", str(tmp_path), "--yes")
    assert "folder" in tenant.refused(2, "rent", offering, *HOURS, *folder)["message"]


def test_an_offering_that_is_not_there_is_exit_code_5(tenant: Desk, ssh_key: str) -> None:
    assert (
        tenant.refused(5, "rent", "o" + "0" * 26, *HOURS, "--ssh-key", ssh_key, "--yes")["code"]
        == "not_found"
    )


def test_an_order_whose_answer_was_lost_is_sent_again_and_makes_one_contract(
    tenant: Desk, shop: Shop, offering: str
) -> None:
    heartbeat(shop)
    journal, order = OrderJournal(tenant.profile / "orders"), _signed(tenant, shop, offering)
    journal.put(order)  # killed before it was sent
    first = tenant.run("rent", "--resume", "--no-wait")
    assert first["digest"] == order.digest
    assert journal.open_orders() == ()
    journal.put(order)  # killed before the answer was read
    again = tenant.run("rent", "--resume", "--no-wait")
    assert again["id"] == first["id"]
    assert tenant.refused(5, "rent", "--resume")["code"] == "not_found"


def test_a_refused_order_is_not_kept(tenant: Desk, shop: Shop, offering: str) -> None:
    journal, order = OrderJournal(tenant.profile / "orders"), _signed(tenant, shop, offering)
    statement = codec.plain(order.statement) | {
        "s": [{"k": order.statement.s[0].k, "sig": "A" * 86}]
    }
    journal.put(codec.convert(codec.plain(order) | {"statement": statement}, SignedOrder))
    assert tenant.refused(3, "rent", "--resume")["code"] in {"bad_signature", "bad_point"}
    assert journal.open_orders() == ()


def test_an_order_stays_while_the_platform_does_not_answer(
    tenant: Desk, shop: Shop, offering: str
) -> None:
    journal, order = OrderJournal(tenant.profile / "orders"), _signed(tenant, shop, offering)
    journal.put(order)
    dead = Desk(tenant.home, "http://127.0.0.1:1")
    assert dead.refused(8, "rent", "--resume")["code"] == "platform_unreachable"
    assert journal.only() == order
    journal.drop(order.digest)


def test_a_provider_says_yes_or_no_to_each_order(
    shop: Shop, provider: Desk, tenant: Desk, ssh_key: str
) -> None:
    manual = publish(shop, accept_mode="manual")["id"]
    order = ("--ssh-key", ssh_key, *CARD, "--yes", "--no-wait")
    ids = [tenant.run("rent", manual, *HOURS, *order)["id"] for _ in range(2)]
    for id_ in ids:
        assert "pending" in tenant.try_("contracts", "watch", id_, "--until", "pending").stderr
    assert set(ids) <= {one["id"] for one in provider.run("requests", "list")["items"]}
    assert provider.run("requests", "accept", ids[0])["state"] == "accepted"
    rejected = provider.run("requests", "reject", ids[1], "--reason", "no room")
    assert (rejected["state"], rejected["end_reason"]) == ("rejected", "no room")
    ended = provider.run("contracts", "terminate", ids[0], "--reason", "disk failure")
    assert ended["state"] in {"cancelled", "failed", "completed"}
    assert ids[0] in provider.show("contracts", "list", "--role", "provider")
    assert tenant.refused(4, "requests", "accept", ids[0])["code"] == "not_your_side"


def test_interrupted_while_it_waits_the_contract_goes_on(
    shop: Shop, tenant: Desk, offering: str, ssh_key: str
) -> None:
    heartbeat(shop)
    script = "from decent_cloud.programs.cli import main; main()"
    order = ["rent", offering, *HOURS, "--ssh-key", ssh_key, *CARD, "--yes"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *order],
        env=dict(tenant.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    try:
        while "accepted" not in said:
            said += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
    finally:
        process.kill()
    id_ = said.partition("contract ")[2][:27]
    assert process.returncode == 130
    assert f"decent contracts watch {id_}" in rest
    assert f"decent contracts cancel {id_}" in rest
    assert "Traceback" not in rest
    assert tenant.run("contracts", "show", id_)["state"] == "accepted"
    tenant.run("contracts", "cancel", id_)


def test_ones_own_machine_costs_nothing(
    shop: Shop, provider: Desk, offering: str, ssh_key: str
) -> None:
    heartbeat(shop)
    with working_agent(shop, provider.person()):
        found = provider.run("rent", offering, *HOURS, "--ssh-key", ssh_key, "--yes")
    assert (found["self_rental"], found["payments"]) == (True, [])
    assert found["total"] == {"amount_minor": "0", "asset": "USD"}
    assert "(self-rental)" in provider.show("contracts", "show", found["id"])
    provider.run("contracts", "cancel", found["id"])


def test_an_offering_whose_agents_are_gone_is_not_ordered(
    provider: Desk, tenant: Desk, ssh_key: str
) -> None:
    provider.run("pool", "create", "empty", "--driver", "fake")
    fields = {
        "title": "Nobody home", "kind": "container", "pool": "empty", "image": "tiny", "cpu": "1",
        "memory-mib": "64", "disk-gib": "0", "country": "CH", "price-per-hour": "1", "asset": "USD",
        "stock": "1",
    }  # fmt: skip
    flags = [part for name, value in fields.items() for part in (f"--{name}", value)]
    idle = provider.run("offering", "create", *flags, "--publish")["id"]
    error = tenant.refused(6, "rent", idle, *HOURS, "--ssh-key", ssh_key, "--yes")
    assert "no_agent_online" in error["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"host": "-oProxyCommand=x"},
        {"user": "-l root"},
        {"user": ""},
        {"host_keys": ()},
        {"host_keys": ("x",)},
    ],
)
def test_an_access_that_ssh_cannot_be_given_is_refused(
    tenant: Desk, change: dict[str, Any]
) -> None:
    access = replace(Access("127.0.0.1", 22, "root", (HOST_KEY,), password=""), **change)
    with (
        Session(Globals(config=str(tenant.home / "config.toml"))) as session,
        pytest.raises(OddAccess),
    ):
        ssh_call(session, "c1", access)

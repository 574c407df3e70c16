"""Agents at the command line: nothing but an agent joins, and a join goes on where it was cut off."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.client.agents import AgentApi, PairingApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.statements import from_wire, verified_chain
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.links import build_add
from decent_cloud.domain.keys.pairing import open_invitation, parse_code, seal_join
from decent_cloud.domain.keys.statements import Statement, StatementType, cosign
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.accounts import AppendLink
from decent_cloud.wire.v1.providers import JoinPairing
from decent_cloud.wire.v1.statements import StatementWire
from tests.cli.conftest import Desk
from tests.support.people import new_keys

pytestmark = pytest.mark.slow  # whole accounts on a whole platform


def _answer(
    url: str, code_text: str, keys: DeviceKeys, kind: DeviceType = DeviceType.AGENT
) -> Statement:
    """Answer a setup token as an agent does; returns the link it signed."""
    code = parse_code(code_text)
    with Transport(url) as line:
        relay = PairingApi(line)
        invitation = open_invitation(code, relay.read(code.rid).old_message)
        chain = verified_chain(relay.chain(code.rid), invitation.account_id, invitation.pin)
        rank = Rank.READER if kind is DeviceType.AGENT else Rank.ORDINARY
        link = build_add(chain.next_place, keys.public(kind, rank), [keys])
        relay.join(code.rid, JoinPairing(message=seal_join(code, link)))
    return link


def _leave(url: str, code_text: str, link: Statement) -> None:
    code = parse_code(code_text)
    with Transport(url) as line:
        PairingApi(line).join(code.rid, JoinPairing(message=seal_join(code, link)))


def _until_dropped(url: str, code_text: str) -> None:
    """Wait until the relay holds no answer: the provider opened it anew."""
    code, deadline = parse_code(code_text), time.monotonic() + 20
    with Transport(url) as line:
        while PairingApi(line).read(code.rid).new_message:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _me(provider: Desk, keys: DeviceKeys) -> Any:
    account = AccountId(provider.run("account", "show")["id"])
    with Transport(provider.url, DeviceAuth(account, keys)) as line:
        return AgentApi(line).me()


def test_an_agent_that_answers_is_taken_in_with_its_permissions(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    keys = new_keys()
    _answer(provider.url, token["code"], keys)
    joined = provider.run("agents", "approve", token["code"], "--yes", "--label", "rack 1")
    assert (joined["agent"], joined["pool"], joined["label"]) == (keys.kid, token["pool"], "rack 1")
    assert joined["permissions"] == [
        "fetch_contracts",
        "health_check",
        "heartbeat",
        "provision",
        "reset_password",
    ]
    me = _me(provider, keys)
    assert (me.agent, me.pool) == (keys.kid, token["pool"])
    assert keys.kid in provider.show("agents", "list")


def test_permissions_and_an_end_can_be_chosen(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    _answer(provider.url, token["code"], new_keys())
    joined = provider.run(
        "agents", "approve", token["code"], "--yes", "--permission", "heartbeat", "--days", "1"
    )
    assert joined["permissions"] == ["heartbeat"]
    assert joined["not_after"] > 0


def test_what_joins_is_shown_and_asked_about(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    keys = new_keys()
    _answer(provider.url, token["code"], keys)
    result = provider.try_("agents", "approve", token["code"])
    assert result.exit_code == 2
    assert f"joins: agent {keys.kid}" in result.stderr
    assert "--yes" in result.stderr


def test_a_setup_token_lets_in_no_other_device(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    _answer(provider.url, token["code"], new_keys(), DeviceType.CLI)
    before = provider.run("account", "show")["seq"]
    error = provider.refused(3, "agents", "approve", token["code"], "--yes")
    assert error["code"] == "not_an_agent"
    assert provider.run("account", "show")["seq"] == before


def test_a_link_on_an_older_head_is_refused(provider: Desk) -> None:
    first, second = (provider.run("setup-token", "create", "--pool", "barn") for _ in range(2))
    _answer(provider.url, first["code"], new_keys())
    _answer(provider.url, second["code"], new_keys())
    provider.run("agents", "approve", first["code"], "--yes")
    assert (
        provider.refused(3, "agents", "approve", second["code"], "--yes")["code"] == "link_outdated"
    )


def test_an_approval_cut_off_between_link_and_delegation_goes_on(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    keys, person = new_keys(), provider.person()
    link = cosign(StatementType.LINK, _answer(provider.url, token["code"], keys), person.keys)
    wire = codec.convert(link.to_json(), StatementWire)
    answer = person.api.post("/accounts/me/chain", codec.plain(AppendLink(link=wire)))
    assert answer.status_code == 201, answer.text
    joined = provider.run("agents", "approve", token["code"], "--yes")
    assert joined["agent"] == keys.kid
    again = provider.run("agents", "approve", token["code"], "--yes")
    assert again["digest"] != joined["digest"]  # a new delegation that follows the first


def test_an_agent_is_brought_in_by_files(provider: Desk, tmp_path: Path) -> None:
    chain = provider.person().chain
    keys = new_keys()
    link = build_add(chain.next_place, keys.public(DeviceType.AGENT, Rank.READER), [keys])
    add, cosigned = tmp_path / "add.json", tmp_path / "cosigned.json"
    add.write_bytes(codec.to_json(link.to_json()))
    files = ("--file", str(add), "--out", str(cosigned))
    assert provider.refused(2, "agents", "approve", *files)["errors"][0]["field"] == "pool"
    provider.run("agents", "approve", *files, "--pool", "barn", "--yes")
    whole = from_wire(codec.from_json(cosigned.read_bytes(), StatementWire))
    assert {one.kid for one in whole.signatures} == {keys.kid, provider.person().keys.kid}
    assert _me(provider, keys).agent == keys.kid
    assert provider.refused(
        5, "agents", "approve", "--file", str(tmp_path / "no"), "--pool", "barn"
    )


def test_a_revoked_agent_may_nothing_and_can_be_let_in_again(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    keys = new_keys()
    _answer(provider.url, token["code"], keys)
    provider.run("agents", "approve", token["code"], "--yes")
    assert provider.run("agents", "revoke", keys.kid, "--yes")["revoked"] is True
    assert provider.run("agents", "revoke", keys.kid, "--yes")["revoked"] is True
    rows = {one["agent"]: one["status"] for one in provider.run("agents", "list")["items"]}
    assert rows[keys.kid] == "revoked"
    assert provider.run("agents", "approve", token["code"], "--yes")["revoked"] is False
    for odd in (new_keys().kid, "-" + "A" * 21, "--" + "y" * 20):
        assert provider.refused(5, "agents", "revoke", odd, "--yes")["code"] == "not_found"
    assert provider.refused(2, "agents", "revoke", "rack", "--yes")["errors"][0]["field"] == "agent"


@pytest.mark.parametrize("code", ["nonsense", "7KQF2-M9XPD-3AWZ6-T8RHU"])
def test_a_code_that_is_none_is_refused(provider: Desk, code: str) -> None:
    assert provider.refused(3, "agents", "approve", code)["code"] == "bad_pairing"


def test_a_code_that_nobody_answered_says_so(provider: Desk) -> None:
    token = provider.run("setup-token", "create", "--pool", "barn")
    assert "answered" in provider.refused(5, "agents", "approve", token["code"])["message"]
    assert (
        provider.refused(5, "agents", "approve", "7KQF2-M9XPD-3AWZ6-T8RHC")["code"] == "not_found"
    )
    assert (
        provider.refused(5, "setup-token", "create", "--pool", "attic")["errors"][0]["field"]
        == "pool"
    )
    assert provider.refused(2, "agents", "approve")["errors"][0]["field"] == "code"


@pytest.mark.slow
def test_a_waiting_token_takes_the_agent_in_also_when_its_first_link_is_outdated(
    provider: Desk,
) -> None:
    person = provider.person()
    place = person.chain.next_place
    assert person.add_device(new_keys(), DeviceType.AGENT, Rank.READER).is_success
    script = "from decent_cloud.programs.cli import main; main()"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            "--json",
            "setup-token",
            "create",
            "--pool",
            "barn",
            "--wait",
        ],
        env=dict(provider.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    code = json.loads(process.stdout.readline())["code"]
    keys = new_keys()
    out, err = "", ""
    try:
        _leave(provider.url, code, build_add(place, keys.public(DeviceType.AGENT, 2), [keys]))
        _until_dropped(provider.url, code)
        _answer(provider.url, code, keys)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert json.loads(out)["agent"] == keys.kid
    assert _me(provider, keys).agent == keys.kid

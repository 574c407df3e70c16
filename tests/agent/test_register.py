"""An agent joins with a setup token or with files, and pins what it joined; nothing else is taken in."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from decent_cloud.agent.journal import PLATFORM_ID, POOL, PROVIDER
from decent_cloud.agent.journal_memory import MemoryJournal
from decent_cloud.agent.records import Change, Stage
from decent_cloud.agent.register import NotApproved, OtherPlatform, Registrar
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.client.errors import ApiProblem
from decent_cloud.domain.keys.chain import extend
from decent_cloud.domain.keys.errors import BadPairing
from decent_cloud.domain.keys.pairing import (
    CODE_BYTES,
    PairingCode,
    code_from_random,
    open_join,
    seal_invitation,
)
from decent_cloud.domain.keys.statements import Statement, StatementType, cosign
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.errors import Invalid
from decent_cloud.wire.v1.accounts import ChainView
from tests.agent.records import instance
from tests.agent.rig import eventually
from tests.support.people import ALL_PERMISSIONS, Shop, delegate, new_keys
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

USUAL = tuple(p for p in ALL_PERMISSIONS if p != "reset_password")


@pytest.fixture
def code() -> PairingCode:
    return code_from_random(secrets.token_bytes(CODE_BYTES))


def registrar(platform: Platform, tmp_path: Path, wait_s: float = 15, **changed: str) -> Registrar:
    fields = {"platform": platform.url, "data_dir": str(tmp_path), "driver": "fake", **changed}
    settings = codec.convert(fields, AgentSettings)
    return Registrar(
        settings, new_keys(), MemoryJournal(), SystemClock(), lambda _text: None, wait_s
    )


def open_relay(shop: Shop, code: PairingCode) -> None:
    owner = shop.owner
    body = {"message": seal_invitation(code, owner.chain), "pool": shop.pool, "ttl_s": 600}
    answer = owner.api.put(f"/pair/{code.rid}/old", body)
    assert answer.is_success, answer.text


def joined(shop: Shop, code: PairingCode) -> Statement | None:
    message = shop.owner.api.get(f"/pair/{code.rid}").json()["new_message"]
    return open_join(code, message) if message else None


def post_link(shop: Shop, link: Statement) -> Statement:
    """Co-sign and append, as the provider's device does."""
    owner = shop.owner
    whole = cosign(StatementType.LINK, link, owner.keys)
    answer = owner.api.post("/accounts/me/chain", {"link": whole.to_json(), "boxes": []})
    assert answer.is_success, answer.text
    owner.chain = extend(owner.chain, whole)
    return whole


def delegate_to(shop: Shop, registering: Registrar) -> None:
    other = Shop(shop.owner, shop.pool, registering.keys, shop.agent)
    assert delegate(other, USUAL).status_code == 201


def in_background(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_setup_token_makes_an_agent(
    platform: Platform, shop: Shop, code: PairingCode, tmp_path: Path
) -> None:
    registering = registrar(platform, tmp_path)
    open_relay(shop, code)

    def approve() -> None:
        post_link(shop, eventually(lambda: joined(shop, code)))
        delegate_to(shop, registering)

    approving = in_background(approve)
    me = registering.by_code(code.text.lower().replace("-", " "))
    approving.join()
    assert (me.pool, me.agent) == (shop.pool, registering.keys.kid)
    journal = registering.journal
    assert (journal.fact(PROVIDER), journal.fact(POOL)) == (shop.owner.id, shop.pool)
    assert journal.fact(PLATFORM_ID) == me.platform_id
    assert journal.pin(shop.owner.id) == shop.owner.chain.pin


def test_an_interrupted_registration_goes_on_under_the_same_code(
    platform: Platform, shop: Shop, code: PairingCode, tmp_path: Path
) -> None:
    registering = registrar(platform, tmp_path, wait_s=0.2)
    open_relay(shop, code)
    with pytest.raises(NotApproved):
        registering.by_code(code.text)
    link = joined(shop, code)
    assert link is not None
    post_link(shop, link)
    delegate_to(shop, registering)
    assert replace(registering, wait_s=15).by_code(code.text).pool == shop.pool


def test_when_the_chain_has_grown_the_link_is_signed_anew(
    platform: Platform, shop: Shop, code: PairingCode, tmp_path: Path
) -> None:
    registering = registrar(platform, tmp_path, wait_s=0.2)
    open_relay(shop, code)
    with pytest.raises(NotApproved):
        registering.by_code(code.text)
    from decent_cloud.domain.keys.devices import DeviceType, Rank

    assert shop.owner.add_device(new_keys(), DeviceType.CLI, Rank.ORDINARY).is_success
    open_relay(shop, code)  # the provider's side begins again under the same code
    with pytest.raises(NotApproved):
        registering.by_code(code.text)
    link = joined(shop, code)
    assert link is not None
    post_link(shop, link)
    delegate_to(shop, registering)
    assert replace(registering, wait_s=15).by_code(code.text).pool == shop.pool


def test_a_wrong_code_opens_nothing(
    platform: Platform, shop: Shop, code: PairingCode, tmp_path: Path
) -> None:
    open_relay(shop, code)
    other = code_from_random(secrets.token_bytes(CODE_BYTES))
    registering = registrar(platform, tmp_path, wait_s=0.2)
    with pytest.raises(ApiProblem) as caught:
        registering.by_code(other.text)
    assert caught.value.status == 404
    with pytest.raises(BadPairing):
        registering.by_code("nonsense")


def test_another_devices_answer_under_the_code_is_noticed(
    platform: Platform, shop: Shop, code: PairingCode, tmp_path: Path
) -> None:
    open_relay(shop, code)
    with pytest.raises(NotApproved):
        registrar(platform, tmp_path, wait_s=0.2).by_code(code.text)
    with pytest.raises(BadPairing, match="another device"):
        registrar(platform, tmp_path, wait_s=0.2).by_code(code.text)


def test_a_pool_of_another_driver_is_refused(
    platform: Platform, shop: Shop, code: PairingCode, tmp_path: Path
) -> None:
    registering = registrar(platform, tmp_path, driver="docker")
    open_relay(shop, code)

    def approve() -> None:
        post_link(shop, eventually(lambda: joined(shop, code)))
        delegate_to(shop, registering)

    approving = in_background(approve)
    with pytest.raises(Invalid, match="driver fake"):
        registering.by_code(code.text)
    approving.join()
    assert registering.journal.fact(PROVIDER) == ""


def test_files_make_an_agent_too(platform: Platform, shop: Shop, tmp_path: Path) -> None:
    registering = registrar(platform, tmp_path)
    served = shop.owner.api.get(f"/accounts/{shop.owner.id}/chain").content
    link = registering.offline_link(codec.from_json(served, ChainView))
    with pytest.raises(Invalid, match="co-signed"):
        registering.accept(link)
    whole = post_link(shop, link)
    delegate_to(shop, registering)
    assert registering.accept(whole).pool == shop.pool
    other = registrar(platform, tmp_path)
    with pytest.raises(Invalid, match="another device"):
        other.accept(whole)


def test_an_agent_with_machines_does_not_go_over_to_another_platform(
    platform: Platform, code: PairingCode, tmp_path: Path
) -> None:
    registering = registrar(platform, tmp_path)
    registering.journal.set_facts({PLATFORM_ID: "f" * 64})
    registering.journal.commit(Change(instance(Stage.BOUND)))
    with pytest.raises(OtherPlatform):
        registering.by_code(code.text)


def test_a_served_chain_that_is_not_the_invited_one_is_refused(shop: Shop) -> None:
    body = shop.owner.api.get(f"/accounts/{shop.owner.id}/chain").json()
    body["links"] = body["links"][1:]
    view = codec.from_json(json.dumps(body), ChainView)
    registering = Registrar(
        AgentSettings(platform=shop.owner.url, data_dir=".", driver="fake"),
        new_keys(),
        MemoryJournal(),
        SystemClock(),
        lambda _text: None,
    )
    with pytest.raises(Exception, match=r"genesis|chain"):
        registering.offline_link(view)

"""New SSH keys, over a real platform and a fake cloud: the newest list that the tenant signed, and no other key.

The agent dies at every step of it once; a platform that lies moves nothing.
"""

from __future__ import annotations

import secrets
from copy import copy
from typing import Any

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.daemon import Agent
from decent_cloud.agent.orders import KeyListRefused
from decent_cloud.agent.records import Instance, KnownList, Stage
from decent_cloud.client.statements import to_wire
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import extend
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.errors import UnknownHead
from decent_cloud.domain.keys.key_lists import sign_key_list
from decent_cloud.domain.keys.links import build_rotate
from decent_cloud.domain.keys.seeds import AccountSeed, seal_old_seed
from decent_cloud.domain.keys.statements import Statement
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.agents import AssignmentView
from tests.agent.rig import Rig, eventually, running
from tests.agent.test_crash import Killer, run_until_dead
from tests.agent.test_reset import active, ask, bare_agent, ended, last, settled, works
from tests.support.key_lists import key_list, list_body, ssh_line
from tests.support.market import SSH_KEY, publish, rent, until
from tests.support.people import Person, Shop, box_of, new_keys
from tests.support.secrets import password

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

ONE, TWO, THREE = (ssh_line(number) for number in (1, 2, 3))


def send(tenant: Person, contract: str, n: int, *lines: str, **by: Any) -> dict[str, Any]:
    """Ask for these keys in the machine, and no others."""
    digest = tenant.api.get(f"/contracts/{contract}").json()["digest"]
    body = list_body(tenant, digest, n, *lines, **by)
    answer = tenant.api.post(f"/contracts/{contract}/ssh-keys", body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def taken(rig: Rig, contract: str) -> set[str]:
    (machine,) = rig.backend.machines(contract)
    return set(machine.ssh_keys.splitlines())


def known(rig: Rig, contract: str) -> Instance:
    found = rig.instance(contract)
    assert found is not None
    return found


def test_the_machine_takes_the_new_keys_and_no_old_one(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        assert taken(rig, id_) == {SSH_KEY}
        asked = send(tenant, id_, 1, ONE, TWO)
        assert (asked["state"], asked["subject"], asked["n"]) == ("requested", "ssh_keys", 1)
        done = ended(tenant, id_)
        assert (done["id"], done["state"], done["agent"]) == (
            asked["id"],
            "verified",
            rig.keys.kid,
        )
        assert taken(rig, id_) == {ONE, TWO}
        settled(rig, id_)
        assert known(rig, id_).keys.n == 1
        assert len(rig.backend.calls(Verb.REPLACE_KEYS)) == 1
        assert rig.backend.calls(Verb.RESET) == ()
        send(tenant, id_, 2, THREE)
        assert ended(tenant, id_)["state"] == "verified"
        assert taken(rig, id_) == {THREE}
        events = [
            row["event"] for row in tenant.api.get(f"/contracts/{id_}/history").json()["items"]
        ]
        assert events[-4:] == ["keys_requested", "keys_claimed", "keys_applied", "keys_verified"]


def test_the_management_key_stays(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant, management_key=True)
        (management,) = taken(rig, id_) - {SSH_KEY}
        send(tenant, id_, 1, ONE)
        assert ended(tenant, id_)["state"] == "verified"
        assert taken(rig, id_) == {ONE, management}


def test_new_keys_and_a_new_password_follow_each_other(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        send(tenant, id_, 1, ONE)
        assert ended(tenant, id_)["state"] == "verified"
        ask(tenant, id_)
        done = ended(tenant, id_)
        assert (done["state"], done["subject"], done["n"]) == ("verified", "password", 2)
        assert works(rig, id_, password(tenant, shop, id_))
        assert taken(rig, id_) == {ONE}


@pytest.mark.parametrize("step", steps.RESET_PATH)
def test_a_crash_at_any_step_leaves_the_newest_list(
    rig: Rig, shop: Shop, tenant: Person, step: str
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
    send(tenant, id_, 1, ONE, TWO)
    run_until_dead(rig, Killer(step))
    with running(rig):
        assert ended(tenant, id_)["state"] == "verified"
        settled(rig, id_)
        assert taken(rig, id_) == {ONE, TWO}


@pytest.mark.parametrize("fault", [Fault.TRY_LATER, Fault.ANSWER_LOST, Fault.BROKEN])
@pytest.mark.parametrize("verb", [Verb.REPLACE_KEYS, Verb.READ_KEYS])
def test_a_machine_that_stumbles_is_asked_again(
    rig: Rig, shop: Shop, tenant: Person, verb: Verb, fault: Fault
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        rig.backend.fail_next(verb, fault, times=2)
        send(tenant, id_, 1, ONE)
        assert ended(tenant, id_)["state"] == "verified"
        assert taken(rig, id_) == {ONE}


@pytest.mark.parametrize(
    ("fault", "failure"), [(Fault.REJECTED, "rejected"), (Fault.AUTH_FAILED, "auth_failed")]
)
def test_what_cannot_be_done_is_said_and_the_next_list_may_come(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault, failure: str
) -> None:
    with running(rig) as agent:
        id_ = active(rig, shop, tenant)
        rig.backend.fail_next(Verb.REPLACE_KEYS, fault)
        send(tenant, id_, 1, ONE)
        done = ended(tenant, id_)
        assert (done["state"], done["failure"]) == ("failed", failure)
        assert taken(rig, id_) == {SSH_KEY}
        assert [each.name for each in agent.work.journal.alarms()] == [f"reset:{id_}"]
        send(tenant, id_, 2, TWO)
        assert ended(tenant, id_)["state"] == "verified"
        assert taken(rig, id_) == {TWO}


def put_back(rig: Rig, contract: str, line: str) -> None:
    """Let a key in behind the agent's back, as a program in the machine may."""
    with rig.backend.transaction() as db:
        sql = "UPDATE instances SET ssh_keys = ssh_keys || char(10) || ? WHERE contract = ?"
        db.execute(sql, (line, contract))


def test_a_key_that_comes_back_before_the_proof_is_taken_out_again(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
    send(tenant, id_, 1, ONE)
    run_until_dead(rig, Killer(steps.RESET_APPLIED_ACKNOWLEDGED))
    put_back(rig, id_, THREE)
    with running(rig):
        assert ended(tenant, id_)["state"] == "verified"
        assert taken(rig, id_) == {ONE}
        assert len(rig.backend.calls(Verb.REPLACE_KEYS)) == 2


def test_a_backend_without_a_way_in_says_so(rig: Rig, shop: Shop, tenant: Person) -> None:
    bare_agent(rig)
    id_ = active(rig, shop, tenant)
    send(tenant, id_, 1, ONE)
    done = ended(tenant, id_)
    assert (done["state"], done["failure"]) == ("failed", "no_ability")
    assert "cannot replace SSH keys" in done["detail"]
    assert taken(rig, id_) == {SSH_KEY}


def test_the_end_of_the_contract_ends_the_work(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        rig.backend.fail_next(Verb.REPLACE_KEYS, Fault.TRY_LATER, times=100)
        send(tenant, id_, 1, ONE)
        eventually(lambda: last(tenant, id_)["state"] == "claimed")
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        done = ended(tenant, id_)
        assert (done["state"], done["failure"]) == ("failed", "contract_ended")
        rig.reaches(id_, Stage.ENDED)


@pytest.mark.parametrize("step", [steps.LEASE_JOURNALLED, steps.ATTEMPT_JOURNALLED, ""])
def test_a_machine_that_is_not_made_yet_gets_the_newest_list(
    rig: Rig, shop: Shop, tenant: Person, step: str
) -> None:
    id_ = str(rent(tenant, publish(shop))["id"])
    until(tenant, id_, "accepted")
    if step:
        run_until_dead(rig, Killer(step))
    send(tenant, id_, 1, ONE)
    with running(rig):
        until(tenant, id_, "active")
        assert ended(tenant, id_)["state"] == "verified"
        assert taken(rig, id_) == {ONE}
        settled(rig, id_)
        assert known(rig, id_).keys.n == 1


def rotated(tenant: Person, *revoked: DeviceKeys) -> tuple[Statement, AccountSeed]:
    """Return the link that revokes these devices, and the seed of the next generation."""
    seed = AccountSeed(tenant.seed.generation + 1, secrets.token_bytes(32))
    generation = (seed.generation, seed.public)
    kids = sorted(keys.kid for keys in revoked)
    link = build_rotate(tenant.chain.next_place, kids, generation, [tenant.keys])
    return link, seed


def revoke(tenant: Person, keys: DeviceKeys) -> None:
    link, seed = rotated(tenant, keys)
    after = extend(tenant.chain, link)
    boxes = [box_of(seed, tenant.id, device) for device in after.active()]
    old = b64u.encode(seal_old_seed(tenant.seed, seed, tenant.id))
    body = {"link": link.to_json(), "boxes": boxes, "old_seed": old}
    answer = tenant.api.post("/accounts/me/chain", body)
    assert answer.status_code == 201, answer.text
    tenant.chain, tenant.seed = after, seed


class Liar:
    """A platform that shows an agent other lists than the tenant's newest."""

    def __init__(self, agent: Agent, tenant: Person, contract: str) -> None:
        self._agent = agent
        self._tenant = tenant
        found = agent.work.desired.assignment(ContractId(contract))
        assert found is not None
        self._view = found

    def shows(self, n: int, *lines: str, by: Any = None, digest: str = "") -> AssignmentView:
        wish = key_list(self._tenant, digest or self._view.digest, n, *lines)
        signed = to_wire(sign_key_list(wish, by or self._tenant.keys))
        return replace_view(self._view, signed)

    def nothing(self) -> AssignmentView:
        return replace_view(self._view, None)


def replace_view(view: AssignmentView, signed: Any) -> AssignmentView:
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return AssignmentView(**{**fields, "key_list": signed})


def test_a_lying_platform_cannot_bring_in_a_key(rig: Rig, shop: Shop, tenant: Person) -> None:
    reader = new_keys()
    assert tenant.add_device(reader, DeviceType.CLI, Rank.READER).status_code == 201
    with running(rig) as agent:
        id_ = active(rig, shop, tenant)
        send(tenant, id_, 3, ONE)
        assert ended(tenant, id_)["state"] == "verified"
        settled(rig, id_)
        known_list = known(rig, id_).keys
        liar, orders = Liar(agent, tenant, id_), agent.work.orders
        same = orders.key_list(liar.shows(3, ONE), known_list)
        assert same is not None
        assert same.number == 3
        newer = orders.key_list(liar.shows(4, TWO), known_list)
        assert newer is not None
        for lie in (
            liar.shows(2, TWO),
            liar.shows(3, TWO),
            liar.shows(4, TWO, by=new_keys()),
            liar.shows(4, TWO, by=reader),
            liar.shows(4, TWO, by=shop.agent_keys),
            liar.shows(4, TWO, digest="ab" * 32),
            liar.nothing(),
        ):
            with pytest.raises(KeyListRefused):
                orders.key_list(lie, known_list)


def test_a_list_that_a_revoked_device_signed_is_refused_unless_it_was_accepted_before(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    laptop = new_keys()
    assert tenant.add_device(laptop, DeviceType.CLI, Rank.ORDINARY).status_code == 201
    with running(rig) as agent:
        id_ = active(rig, shop, tenant)
        liar, orders = Liar(agent, tenant, id_), agent.work.orders
        signed = liar.shows(1, ONE, by=laptop)
        accepted = orders.key_list(signed, KnownList())
        assert accepted is not None
        revoke(tenant, laptop)
        with pytest.raises(KeyListRefused):
            orders.key_list(signed, KnownList())
        again = orders.key_list(signed, KnownList(1, accepted.digest))
        assert again == accepted


def test_an_agent_that_was_shown_an_older_chain_waits(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig) as agent:
        id_ = active(rig, shop, tenant)
        ahead = copy(tenant)
        ahead.chain = extend(tenant.chain, rotated(tenant)[0])
        liar, orders = Liar(agent, ahead, id_), agent.work.orders
        with pytest.raises(UnknownHead):
            orders.key_list(liar.shows(1, ONE), KnownList())

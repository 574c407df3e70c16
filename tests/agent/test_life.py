"""From order to end against the real platform: one machine, a credential its tenant can open, then none."""

from __future__ import annotations

from decent_cloud.agent.records import Stage
from decent_cloud.domain.keys.credentials import Expected, open_credential, sealed_from_json
from decent_cloud.kernel.ids import Digest
from tests.agent.rig import Rig, eventually, running
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop


def test_a_rental_is_made_handed_over_and_removed(rig: Rig, shop: Shop, tenant: Person) -> None:
    offering = publish(shop)
    with running(rig):
        contract = rent(tenant, offering)
        id_ = contract["id"]
        active = until(tenant, id_, "active")
        assert len(rig.backend.machines(id_)) == 1
        machine = rig.backend.machines(id_)[0]
        assert (active["host"], active["port"]) == ("127.0.0.1", machine.port)
        assert active["host_keys"] == [machine.host_key]

        view = tenant.api.get(f"/contracts/{id_}/credential").json()
        opened = open_credential(
            sealed_from_json(view["credential"]),
            tenant.seed,
            Expected(
                tenant.id, Digest(contract["digest"]), shop.owner.chain, [shop.agent_keys.kid]
            ),
        )
        assert opened.access.host == "127.0.0.1"
        assert opened.access.port == machine.port
        assert opened.access.host_keys == (machine.host_key,)

        rig.reaches(id_, Stage.BOUND)
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": "done"}).is_success
        eventually(lambda: not rig.backend.machines(id_))
        rig.reaches(id_, Stage.ENDED)
        assert rig.agent is not None
        assert rig.agent.work.journal.reports() == ()
        assert rig.agent.work.journal.ports() == {}

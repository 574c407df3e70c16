"""What a tenant can open: the newest sealed credential of a contract, on the tenant's own device."""

from __future__ import annotations

from decent_cloud.client.statements import credential_from_wire, log_from_wire
from decent_cloud.domain.keys.credentials import Credential, Expected, open_credential
from decent_cloud.domain.keys.logs import OpenedLog, open_log
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.ids import Digest, Kid
from decent_cloud.wire.v1.contracts import CredentialView
from decent_cloud.wire.v1.first_scripts import LogView
from tests.support.people import Person, Shop


def opened(tenant: Person, shop: Shop, contract: str) -> Credential:
    """Fetch and open the newest credential as the tenant's device does."""
    view = tenant.api.get(f"/contracts/{contract}").json()
    served = convert(tenant.api.get(f"/contracts/{contract}/credential").json(), CredentialView)
    sealed = credential_from_wire(served.credential)
    agents = frozenset({Kid(shop.agent_keys.kid)})
    expected = Expected(tenant.id, Digest(view["digest"]), shop.owner.chain, agents)
    return open_credential(sealed, tenant.seed, expected)


def script_log(tenant: Person, shop: Shop, contract: str) -> OpenedLog:
    """Fetch and open the log of a contract's first script as the tenant's device does."""
    view = tenant.api.get(f"/contracts/{contract}").json()
    served = convert(tenant.api.get(f"/contracts/{contract}/log").json(), LogView)
    agents = frozenset({Kid(shop.agent_keys.kid)})
    expected = Expected(tenant.id, Digest(view["digest"]), shop.owner.chain, agents)
    return open_log(log_from_wire(served.log), tenant.seed, expected)


def password(tenant: Person, shop: Shop, contract: str) -> str:
    """Return the password in it."""
    return opened(tenant, shop, contract).access.password or ""

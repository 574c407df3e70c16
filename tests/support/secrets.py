"""What a tenant can open: the newest sealed credential of a contract, on the tenant's own device."""

from __future__ import annotations

from decent_cloud.client.statements import credential_from_wire
from decent_cloud.domain.keys.credentials import Credential, Expected, open_credential
from decent_cloud.kernel.codec import convert
from decent_cloud.kernel.ids import Digest, Kid
from decent_cloud.wire.v1.contracts import CredentialView
from tests.support.people import Person, Shop


def opened(tenant: Person, shop: Shop, contract: str) -> Credential:
    """Fetch and open the newest credential as the tenant's device does."""
    view = tenant.api.get(f"/contracts/{contract}").json()
    served = convert(tenant.api.get(f"/contracts/{contract}/credential").json(), CredentialView)
    sealed = credential_from_wire(served.credential)
    agents = frozenset({Kid(shop.agent_keys.kid)})
    expected = Expected(tenant.id, Digest(view["digest"]), shop.owner.chain, agents)
    return open_credential(sealed, tenant.seed, expected)


def password(tenant: Person, shop: Shop, contract: str) -> str:
    """Return the password in it."""
    return opened(tenant, shop, contract).access.password or ""

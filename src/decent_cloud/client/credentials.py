"""Credentials: fetched sealed, opened here, and checked against what this device expects."""

from __future__ import annotations

from decent_cloud.client.accounts import open_seeds
from decent_cloud.client.api import Client
from decent_cloud.client.rentals import Signer
from decent_cloud.client.statements import credential_from_wire, from_wire, log_from_wire
from decent_cloud.client.trust import Trust
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.credentials import Credential, Expected, open_credential
from decent_cloud.domain.keys.delegations import verify_delegation
from decent_cloud.domain.keys.errors import CannotOpen, KeyRefused, WrongAccount
from decent_cloud.domain.keys.logs import OpenedLog, open_log
from decent_cloud.domain.keys.orders import Order, verify_order
from decent_cloud.kernel.ids import Digest, Kid
from decent_cloud.kernel.status import Permission
from decent_cloud.wire.v1.contracts import ContractView
from decent_cloud.wire.v1.statements import StatementWire


class ContractDiffers(KeyRefused):
    """The platform shows a contract that does not fit its signed order."""

    code = "contract_differs"


def own_order(view: ContractView, chain: ChainState) -> Order:
    """Return the order behind a contract, proven to be this account's.

    Everything else that the platform says of a contract hangs on this: its digest and provider.
    Errors: WrongAccount for the other side, any other `KeyRefused`, ContractDiffers.
    """
    if view.tenant != chain.account_id:
        raise WrongAccount(
            "this contract's tenant is another account, and only the tenant can do this"
        )
    order = verify_order(from_wire(view.order), chain, first_seen=False)
    if (order.digest, order.provider) != (view.digest, view.provider) or order.extends is not None:
        raise ContractDiffers
    return order


def open_newest(
    client: Client, trust: Trust, signer: Signer, contract: ContractView, now_ms: int
) -> Credential:
    """Fetch, open and verify the newest credential of a contract, and remember it.

    Errors: CannotOpen for every doubt; other `KeyRefused`; NotFound while there is none.
    """
    order = own_order(contract, signer.chain)
    digest = Digest(order.digest)
    provider_chain = trust.chain(order.provider)
    served = client.contracts.credential(contract.id)
    sealed = credential_from_wire(served.credential)
    seed = open_seeds(client.accounts.boxes(), signer.keys, signer.chain).get(sealed.generation)
    if seed is None:
        raise CannotOpen
    expected = Expected(
        account_id=signer.chain.account_id,
        contract=digest,
        provider_chain=provider_chain,
        delegated=_delegated(served.delegation, provider_chain, contract.pool, now_ms),
        last=trust.pins.accepted(digest),
    )
    credential = open_credential(sealed, seed, expected)
    trust.pins.accept(digest, credential.accepted)
    return credential


def open_script_log(
    client: Client, trust: Trust, signer: Signer, contract: ContractView, now_ms: int
) -> OpenedLog:
    """Fetch, open and verify the log of a contract's first script.

    Errors: CannotOpen for every doubt; other `KeyRefused`; NotFound while there is none.
    """
    order = own_order(contract, signer.chain)
    provider_chain = trust.chain(order.provider)
    served = client.contracts.log(contract.id)
    sealed = log_from_wire(served.log)
    seed = open_seeds(client.accounts.boxes(), signer.keys, signer.chain).get(sealed.generation)
    if seed is None:
        raise CannotOpen
    expected = Expected(
        account_id=signer.chain.account_id,
        contract=Digest(order.digest),
        provider_chain=provider_chain,
        delegated=_delegated(served.delegation, provider_chain, contract.pool, now_ms),
    )
    return open_log(sealed, seed, expected)


def _delegated(
    served: StatementWire, provider_chain: ChainState, pool: str, now_ms: int
) -> frozenset[Kid]:
    """Return the agent that the provider lets make secrets in this pool, if the platform proves it."""
    try:
        found = verify_delegation(from_wire(served), provider_chain)
    except KeyRefused:
        # A revocation, or one by a device revoked since: a credential accepted before still opens.
        return frozenset()
    good = found.live_at(now_ms) and found.pool_id == pool
    may_seal = {Permission.PROVISION, Permission.RESET_PASSWORD} & set(found.permissions)
    return frozenset({found.agent}) if good and may_seal else frozenset()

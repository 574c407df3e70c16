"""What must hold of a rental after any crash: one machine or none, the right money, nothing left behind."""

from __future__ import annotations

from decent_cloud.wire.v1.contracts import ContractView
from devtools.actors import Tenant
from devtools.market import ENDED, Market
from devtools.processes import until
from devtools.ssh import run_over_ssh


def settled(market: Market, contract: str, timeout_s: float = 25.0) -> ContractView:
    """Wait until a rental is active or has failed with its refund paid, and see that no machine is doubled."""

    def look() -> ContractView | None:
        view = market.tenant.contract(contract)
        if view.state == "active":
            return view
        paid_back = {each.state.value for each in view.refunds} == {"confirmed"}
        return view if view.state == "failed" and paid_back else None

    view = until("the rental is active, or failed and paid back", look, timeout_s)
    # Every machine that was ever made is on record: a second one shows even if it was removed.
    assert market.made(contract) <= 1, "a second machine was made"
    assert market.alive(contract) == (1 if view.state == "active" else 0)
    if view.state == "active":
        _check_access(market, contract)
    return view


def active(market: Market, contract: str, timeout_s: float = 25.0) -> ContractView:
    """Wait until a rental is active, as nothing stands in its way; a failed one tells its life."""
    view = settled(market, contract, timeout_s)
    if view.state != "active":
        life = market.tenant.history(contract).items
        raise AssertionError("\n".join(f"{each.event}: {each.reason}" for each in life))
    return view


def ended(market: Market, contract: str, timeout_s: float = 25.0) -> ContractView:
    """Cancel what runs, wait until nothing is left of it anywhere, and see that the money is right."""
    tenant = market.tenant
    if tenant.contract(contract).state not in ENDED:
        tenant.cancel(contract, "done")
    return gone(market, tenant, contract, timeout_s)


def gone(market: Market, tenant: Tenant, contract: str, timeout_s: float = 25.0) -> ContractView:
    """Wait until a rental that was ended is gone at the backend and paid back."""
    market.wait_gone(contract, timeout_s)
    view = market.wait_refunded(contract, timeout_s)
    taken, back = market.paid_back_minor(contract)
    (term,) = view.terms
    kept = int(term.released.amount_minor) + int(term.fee.amount_minor)
    assert (taken, back) == (int(term.paid.amount_minor), taken - kept)
    assert int(term.held.amount_minor) == 0
    assert int(term.refunded.amount_minor) == back
    assert len([each for each in market.charges() if contract in each.key]) == 1
    market.check_terms(view)
    market.check_books()
    return view


def _check_access(market: Market, contract: str) -> None:
    """See that the credential fits the machine that runs, not that of another attempt."""
    access = market.tenant.open_credential(contract).access
    if market.on_fakes:
        (machine,) = market.cloud.machines(contract)
        assert access.host_keys == (machine.host_key,)
    else:
        assert run_over_ssh(access, "echo in").strip() == "in"

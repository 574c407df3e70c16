"""Chains that were served by the platform and verified here, against what was seen before."""

from __future__ import annotations

from decent_cloud.client.accounts import AccountsApi
from decent_cloud.client.pins import Pins
from decent_cloud.client.statements import verified_chain
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.kernel.ids import AccountId


class Trust:
    """Reads chains; a chain that contradicts an earlier look is refused."""

    def __init__(self, accounts: AccountsApi, pins: Pins) -> None:
        self._accounts = accounts
        self.pins = pins

    def chain(self, account: AccountId) -> ChainState:
        """Fetch, verify and pin a chain.

        Errors: any `KeyRefused`, RolledBack and Forked among them; ApiProblem, Unreachable.
        """
        view = self._accounts.chain(account)
        chain = verified_chain(view, account, self.pins.pin(account))
        self.pins.keep(chain)
        return chain

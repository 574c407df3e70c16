"""Contracts as the API knows them."""

from __future__ import annotations

from decent_cloud.client.events import EventStream
from decent_cloud.client.transport import Transport
from decent_cloud.wire.v1.contracts import (
    ContractsPage,
    ContractView,
    CredentialView,
    EndContract,
    ExtendContract,
    HistoryView,
    PlaceOrder,
)
from decent_cloud.wire.v1.first_scripts import LogView
from decent_cloud.wire.v1.resets import ReplaceKeys, ResetsView, ResetView


class ContractsApi:
    """The routes of contracts; each may raise ApiProblem, Unreachable or BadAnswer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def place(self, body: PlaceOrder, key: str) -> ContractView:
        """Place a signed order; the same key and order again give the same contract."""
        return self._transport.write("POST", "/contracts", ContractView, body, key=key)

    def extend(self, contract: str, body: ExtendContract, key: str) -> ContractView:
        """Add a paid term."""
        path = f"/contracts/{contract}/extend"
        return self._transport.write("POST", path, ContractView, body, key=key)

    def list(self, role: str, state: str = "", cursor: str = "", limit: int = 50) -> ContractsPage:
        """Return contracts as `tenant` or `provider`, newest first."""
        query = {"role": role, "state": state, "cursor": cursor, "limit": str(limit)}
        given = {name: text for name, text in query.items() if text}
        return self._transport.get("/contracts", ContractsPage, given)

    def read(self, contract: str) -> ContractView:
        """Return a contract."""
        return self._transport.get(f"/contracts/{contract}", ContractView)

    def history(self, contract: str) -> HistoryView:
        """Return every step of a contract's life, oldest first."""
        return self._transport.get(f"/contracts/{contract}/history", HistoryView)

    def credential(self, contract: str) -> CredentialView:
        """Return the newest sealed credential, as a device of the tenant."""
        return self._transport.get(f"/contracts/{contract}/credential", CredentialView)

    def log(self, contract: str) -> LogView:
        """Return the sealed log of a contract's first script, as a device of the tenant."""
        return self._transport.get(f"/contracts/{contract}/log", LogView)

    def reset_password(self, contract: str) -> ResetView:
        """Ask the machine's agent for a new password, as the tenant."""
        path = f"/contracts/{contract}/reset-password"
        return self._transport.write("POST", path, ResetView, None)

    def replace_keys(self, contract: str, body: ReplaceKeys) -> ResetView:
        """Ask for the SSH keys of a signed list, and no others, in the machine, as the tenant."""
        return self._transport.write("POST", f"/contracts/{contract}/ssh-keys", ResetView, body)

    def resets(self, contract: str) -> ResetsView:
        """Return a contract's resets, oldest first."""
        return self._transport.get(f"/contracts/{contract}/resets", ResetsView)

    def events(self, contract: str) -> EventStream:
        """Return the stream of a contract's steps, its present state first."""
        return EventStream(self._transport, f"/contracts/{contract}/events")

    def confirm(self, contract: str) -> ContractView:
        """Say, as the tenant, that the machine answers."""
        return self._end(contract, "confirm", None)

    def accept(self, contract: str) -> ContractView:
        """Take an order, as its provider."""
        return self._end(contract, "accept", None)

    def reject(self, contract: str, reason: str) -> ContractView:
        """Refuse an order, as its provider."""
        return self._end(contract, "reject", EndContract(reason=reason))

    def cancel(self, contract: str, reason: str) -> ContractView:
        """End a contract, as its tenant; unused time is refunded."""
        return self._end(contract, "cancel", EndContract(reason=reason))

    def terminate(self, contract: str, reason: str) -> ContractView:
        """End a contract, as its provider; unused time is refunded."""
        return self._end(contract, "terminate", EndContract(reason=reason))

    def _end(self, contract: str, verb: str, body: EndContract | None) -> ContractView:
        return self._transport.write("POST", f"/contracts/{contract}/{verb}", ContractView, body)

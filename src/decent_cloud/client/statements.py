"""Signed statements and sealed credentials between their key-protocol and their wire form."""

from __future__ import annotations

from decent_cloud.domain.keys.chain import ChainState, Pin, verify_chain
from decent_cloud.domain.keys.credentials import Sealed, sealed_from_json
from decent_cloud.domain.keys.statements import Statement, statement_from_json
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.accounts import ChainView
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.first_scripts import LogWire
from decent_cloud.wire.v1.statements import StatementWire


def to_wire(statement: Statement) -> StatementWire:
    """Return a statement as the API takes it."""
    return codec.convert(statement.to_json(), StatementWire)


def from_wire(statement: StatementWire) -> Statement:
    """Return what the API gave as a statement; nothing is verified.

    Errors: `BadShape`, `NotCanonical`.
    """
    return statement_from_json(codec.plain(statement))


def credential_to_wire(sealed: Sealed) -> CredentialWire:
    """Return a sealed credential as the API takes it."""
    return codec.convert(sealed.to_json(), CredentialWire)


def log_to_wire(sealed: Sealed) -> LogWire:
    """Return a sealed log as the API takes it."""
    return codec.convert(sealed.to_json(), LogWire)


def credential_from_wire(credential: CredentialWire) -> Sealed:
    """Return what the API gave as a sealed credential.

    Errors: `BadShape`, `NotCanonical`.
    """
    return sealed_from_json(codec.plain(credential))


def log_from_wire(log: LogWire) -> Sealed:
    """Return what the API gave as a sealed log.

    Errors: `BadShape`, `NotCanonical`.
    """
    return sealed_from_json(codec.plain(log))


def verified_chain(view: ChainView, account: AccountId, pin: Pin | None = None) -> ChainState:
    """Verify a served chain from its first link on; `view`'s own words about it are ignored.

    Errors: any `KeyRefused`, as `verify_chain`.
    """
    links = (from_wire(link) for link in view.links)
    return verify_chain(links, account_id=account, pin=pin)

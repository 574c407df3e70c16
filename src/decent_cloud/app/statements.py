"""Signed statements as they come over the wire, read into the form that `domain/keys` verifies."""

from __future__ import annotations

from decent_cloud.domain.identity.chains import read_statement
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.statements import Statement, statement_from_json
from decent_cloud.wire.v1.statements import SignatureWire, StatementWire


def from_wire(wire: StatementWire) -> Statement:
    """Read a statement; nothing is verified by that.

    Errors: BadShape, NotCanonical.
    """
    return statement_from_json({"p": wire.p, "s": [{"k": one.k, "sig": one.sig} for one in wire.s]})


def to_wire(stored: str) -> StatementWire:
    """Show a stored statement."""
    statement = read_statement(stored)
    return StatementWire(
        p=b64u.encode(statement.payload),
        s=tuple(SignatureWire(k=one.kid, sig=b64u.encode(one.sig)) for one in statement.signatures),
    )

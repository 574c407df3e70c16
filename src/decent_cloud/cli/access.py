"""Opened credentials as people and programs see them, and the ssh call that pins their host keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from decent_cloud.cli.keys import Identities
from decent_cloud.cli.session import Session
from decent_cloud.client.credentials import open_newest
from decent_cloud.client.private_files import write_private
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.credentials import Credential
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.kernel.ssh_keys import BadSshKey, SshPublicKey
from decent_cloud.wire.v1.contracts import ContractView

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%-]{0,252}")


class OddAccess(KeyRefused):
    """The credential holds an address, a user or a host key that ssh cannot be given."""

    code = "odd_access"


def open_access(session: Session, contract: ContractView) -> Credential:
    """Fetch and open the newest credential of a contract.

    Errors: any `KeyRefused`; NotFound while there is none.
    """
    return open_newest(session.client, session.trust, session.signer, contract, session.now_ms())


def access_shape(credential: Credential, *, reveal: bool) -> dict[str, Any]:
    """Return an opened credential for JSON; the secret only if asked for."""
    access = credential.access
    return {
        "n": credential.subject.number,
        "agent": credential.agent,
        "host": access.host,
        "port": access.port,
        "user": access.user,
        "host_keys": list(access.host_keys),
        "fingerprints": [key.fingerprint() for key in host_keys(access)],
        "has_password": bool(access.password),
        "password": access.password if reveal else None,
        "token": access.token if reveal else None,
    }


def access_rows(credential: Credential, *, reveal: bool) -> list[tuple[str, str]]:
    """Return an opened credential as lines for a person."""
    access = credential.access
    secret = access.password or access.token or ""
    hidden = "(hidden; --reveal shows it)" if secret else "(none; your SSH key opens it)"
    return [
        ("host", access.host),
        ("port", str(access.port)),
        ("user", access.user),
        *(("host key", f"{key.type} {key.fingerprint()}") for key in host_keys(access)),
        ("token" if access.token else "password", secret if reveal and secret else hidden),
        ("sealed by", f"agent {credential.agent}, credential {credential.subject.number}"),
    ]


def host_keys(access: Access) -> tuple[SshPublicKey, ...]:
    """Return the signed host keys. Errors: OddAccess."""
    try:
        return tuple(SshPublicKey.parse(text) for text in access.host_keys)
    except BadSshKey as error:
        raise OddAccess(f"a host key in the credential: {error.message}") from None


def ssh_call(session: Session, contract: str, access: Access, identity: str = "") -> list[str]:
    """Write the signed host keys to a file of their own and return the ssh call that takes no other.

    Errors: OddAccess.
    """
    if not _HOST.fullmatch(access.host) or not _USER.fullmatch(access.user) or not access.host_keys:
        raise OddAccess
    alias = f"decent-{contract}"
    known = session.folder.absolute() / "known_hosts" / contract
    lines = "".join(f"{alias} {key.line()}\n" for key in host_keys(access))
    write_private(known, lines.encode())
    key = identity or Identities(session.folder / "identities").find(contract)
    options = {
        "UserKnownHostsFile": _quoted(known),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": alias,
        "UpdateHostKeys": "no",
        "ForwardAgent": "no",
    }
    return [
        "ssh",
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        *(("-i", key, "-o", "IdentitiesOnly=yes") if key else ()),
        *("-p", str(access.port), "-l", access.user, "--", access.host),
    ]


def _quoted(path: Path) -> str:
    """Write a path so that ssh neither splits it nor expands tokens in it."""
    return '"' + str(path).replace("%", "%%") + '"'

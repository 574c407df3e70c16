"""`decent creds rotate-ssh`: sign which SSH keys a machine takes, and follow the agent's work."""

from __future__ import annotations

from pathlib import Path

import click

from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.keys import Identities, public_file, public_keys
from decent_cloud.cli.resets import until_verified
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.credentials import own_order
from decent_cloud.client.resets import sign_keys
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.ssh_keys import SshPublicKey
from decent_cloud.wire.v1.resets import ResetView


@click.command(
    "rotate-ssh",
    cls=Leaf,
    example="decent creds rotate-ssh CONTRACT --ssh-key ~/.ssh/new.pub --ssh-key ~/.ssh/other.pub",
)
@click.argument("contract")
@click.option(
    "--ssh-key",
    "ssh_keys",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A public key that shall log in (repeat); all others are taken out.",
)
@click.option("--no-wait", is_flag=True, help="Return as soon as it is asked for.")
@pass_session
def rotate_ssh(session: Session, contract: str, ssh_keys: tuple[Path, ...], no_wait: bool) -> None:
    """Replace all SSH keys of CONTRACT's machine by the ones given here.

    This device signs the list; the machine's agent checks that signature for itself, puts the keys in as
    a whole and reads them back. The platform cannot slip one in. A key of the agent that the terms allow
    stays; who is logged in stays, too. Passwords are not changed: decent creds reset. One at a time, three
    an hour. Ctrl-C leaves it running: decent contracts events CONTRACT tells how it ended.
    """
    lines = public_keys(ssh_keys)
    contracts = session.client.contracts
    view = contracts.read(contract)
    order = own_order(view, session.signer.chain)
    body = sign_keys(session.signer, Digest(order.digest), lines, contracts.resets(view.id))
    found = contracts.replace_keys(view.id, body)
    if not no_wait:
        found = until_verified(session, found, f"decent contracts events {view.id}")
        identities = Identities(session.folder / "identities")
        identities.replace(view.id, str(public_file(ssh_keys[0]).absolute()))
    _show(session, found, tuple(SshPublicKey.parse(line) for line in lines))


def _show(session: Session, found: ResetView, keys: tuple[SshPublicKey, ...]) -> None:
    if session.out.json:
        listed = [{"type": key.type, "fingerprint": key.fingerprint()} for key in keys]
        session.out.data({"reset": codec.plain(found), "ssh_keys": listed})
        return
    session.out.fields(
        [
            ("contract", found.contract),
            ("reset", found.id),
            ("state", found.state.value),
            ("list", str(found.n)),
            *(("ssh key", f"{key.type} {key.fingerprint()}") for key in keys),
        ]
    )

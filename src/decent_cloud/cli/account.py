"""`decent account`: a new account with its device and recovery words, and what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from decent_cloud.cli import words as texts
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.accounts import NewAccount, new_account
from decent_cloud.client.api import Client
from decent_cloud.client.private_files import write_private
from decent_cloud.client.profile import KEY_STORES
from decent_cloud.client.statements import verified_chain
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import AlreadyExists, DecentError
from decent_cloud.wire.v1.accounts import AccountView, SetProfile


@click.group("account")
def group() -> None:
    """Make and show your account."""


@group.command(
    "create", cls=Leaf, example="decent --platform https://cloud.example account create --name Ada"
)
@click.option("--name", default="", help="Your name; only you see it.")
@click.option("--email", default="", help="Your address; only you see it.")
@click.option(
    "--words-file",
    type=click.Path(path_type=Path),
    help="Write the recovery words to this new file (0600).",
)
@click.option("--words", is_flag=True, help="Show the words too when --words-file is given.")
@click.option(
    "--key-store",
    type=click.Choice(KEY_STORES),
    default="file",
    help="Where to keep the device key.",
)
@pass_session
def create(
    session: Session, name: str, email: str, words_file: Path | None, words: bool, key_store: str
) -> None:
    """Make a key for this device, twelve recovery words, and an account of both.

    The words are shown once and kept nowhere. They hold a device of rank 0: the way back into the
    account when this device's key is lost, and the one device that a thief of this one cannot revoke.
    """
    if session.profile.account:
        raise AlreadyExists(
            f"profile {session.profile.name} has an account already; for another one: --profile NAME",
            field="profile",
        )
    platform = session.platform
    session.unsigned.accounts.platform()  # before any key is made: is it one of ours?
    new = new_account()
    if words_file is not None:
        _write_words(words_file, new.words)
    session.key_store(key_store).save(new.chain.account_id, new.device_seed)
    found = session.unsigned.accounts.create(new.request)
    session.config.save(
        replace(
            session.profile, platform=platform, account=new.chain.account_id, key_store=key_store
        )
    )
    session.pins.keep(new.chain)
    failure: DecentError | None = None
    if name or email:
        with Client.connect(platform, (new.chain.account_id, new.keys)) as client:
            try:
                found = client.accounts.set_profile(SetProfile(display_name=name, email=email))
            except DecentError as error:
                failure = error  # later: the words are shown first, whatever else fails
    _show_new(session, new, found, show_words=words or words_file is None)
    if failure is not None:
        raise failure


def _write_words(file: Path, words: str) -> None:
    if file.exists():
        raise AlreadyExists(f"{file} exists; name a new file", field="words_file")
    write_private(file.absolute(), f"{words}\n".encode())


def _show_new(session: Session, new: NewAccount, found: AccountView, *, show_words: bool) -> None:
    if session.out.json:
        shape = codec.plain(found) | ({"recovery_words": new.words} if show_words else {})
        session.out.data(shape)
        return
    _show(session, found)
    if show_words:
        session.out.line()
        session.out.line("Recovery words: write them down now, they are not shown again.")
        tokens = new.words.split()
        for start in range(0, len(tokens), 4):
            row = tokens[start : start + 4]
            session.out.line(
                "  "
                + "".join(f"{start + k:>2} {word:<12}" for k, word in enumerate(row, 1)).rstrip()
            )


@group.command("show", cls=Leaf, example="decent account show")
@pass_session
def show(session: Session) -> None:
    """Show the account and its devices, after checking its key chain."""
    chain = session.signer.chain
    found = session.client.accounts.me()
    if session.out.json:
        session.out.data(found)
        return
    _show(session, found)
    session.out.line()
    session.out.table(
        ("DEVICE", "TYPE", "RANK", "THIS ONE"),
        (
            (
                device.kid,
                device.type.value,
                str(int(device.rank)),
                "yes" if device.kid == session.keys.kid else "",
            )
            for device in chain.active()
        ),
    )


@group.command("chain", cls=Leaf, example="decent account chain > chain.json")
@pass_session
def chain(session: Session) -> None:
    """Print the account's key chain, always as JSON: public, and verified before it is printed."""
    found = session.client.accounts.chain(session.account)
    session.pins.keep(verified_chain(found, session.account, session.pins.pin(session.account)))
    session.out.data(found)


def _show(session: Session, found: AccountView) -> None:
    roles = [role for role, has in (("provider", found.provider), ("admin", found.admin)) if has]
    session.out.fields(
        [
            ("account", found.id),
            ("name", found.display_name or "-"),
            ("email", found.email or "-"),
            ("roles", ", ".join(["tenant", *roles])),
            ("created", texts.when(found.created_at, session.now_ms())),
            ("chain", f"link {found.seq}, head {found.head}"),
            ("platform", session.platform),
        ]
    )

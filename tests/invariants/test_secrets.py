"""Invariant 6, the platform's store: what only tenant and agent may know is nowhere in the database.

Logs, answers and the agent's files are searched over a whole journey elsewhere; later work adds
notifications, traces and password resets.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from decent_cloud.app import accounts
from decent_cloud.wire.v1.accounts import SetProfile
from tests.contracts.conftest import Held
from tests.support.kept import kept_in
from tests.support.usecases import Usecases

CANARY = "canary"  # the password that every credential in these tests holds
NAME, MAIL = "Ada Lovelace", "ada@example.org"


def stored_bytes(held: Held) -> bytes:
    """Everything the database keeps, as it keeps it."""
    if held.kind == "sqlite":
        folder = Path(held.url.removeprefix("sqlite:///")).parent
        return kept_in(folder)
    with psycopg.connect(held.url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        texts = []
        for (table,) in tables:
            rows = connection.execute(f'SELECT t::text FROM "{table}" t').fetchall()
            texts += [str(row[0]) for row in rows]
    return "\n".join(texts).encode()


def test_no_secret_and_no_personal_field_can_be_read_from_the_database(sql: Held) -> None:
    use = Usecases(sql)
    shop, tenant = use.shop(), use.account()
    profile = SetProfile(display_name=NAME, email=MAIL)
    use.write(lambda uow: accounts.set_profile(uow, tenant.caller, profile))
    active = use.active(shop, tenant, use.offering(shop))
    use.cancel(tenant, active)
    kept = stored_bytes(sql)
    assert active.id.encode() in kept, "the search sees what is there"
    for secret in (CANARY, NAME, MAIL):
        assert secret.encode() not in kept
        assert secret.encode().hex().encode() not in kept
    for keys in (tenant.seed.secret, use.account().seed.secret):
        assert keys not in kept
        assert keys.hex().encode() not in kept

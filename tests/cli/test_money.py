"""Balances and the books at the command line, and admin rights granted on the server's host."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Desk, working_agent
from tests.support.market import publish
from tests.support.people import Shop
from tests.support.platform import Platform

pytestmark = pytest.mark.slow  # whole accounts on a whole platform


def test_what_was_paid_is_held_and_the_books_balance(
    platform: Platform, shop: Shop, tenant: Desk, provider: Desk, ssh_key: str
) -> None:
    offering = publish(shop)["id"]
    with working_agent(shop, tenant.person()):
        tenant.run("rent", offering, "--hours", "2", "--ssh-key", ssh_key, "--yes")
    assert tenant.refused(4, "admin", "trial-balance")["kind"] == "forbidden"
    account = tenant.run("account", "show")["id"]
    granted = tenant.run("admin", "grant", account, "--data", platform.server.settings.data)
    assert granted == {"account": account, "admin": True}
    trial = tenant.run("admin", "trial-balance")
    assert trial["rebuilt"] is True
    assert [line["difference"]["amount_minor"] for line in trial["lines"]] == ["0"]
    table = tenant.show("admin", "trial-balance")
    assert "0.20 USD" in table
    assert "rebuilt from transfers: equal" in table
    assert provider.run("balance")["balances"] is not None
    removed = tenant.run(
        "admin", "grant", account, "--data", platform.server.settings.data, "--remove"
    )
    assert removed["admin"] is False
    assert tenant.refused(4, "admin", "trial-balance")["kind"] == "forbidden"


def test_an_account_that_is_not_there_cannot_be_granted_anything(
    platform: Platform, tenant: Desk
) -> None:
    data = platform.server.settings.data
    assert tenant.refused(5, "admin", "grant", "ab" * 32, "--data", data)["code"] == "not_found"


def test_a_new_account_holds_nothing(stranger: Desk) -> None:
    stranger.run("account", "create")
    assert stranger.run("balance") == {"balances": []}
    result = stranger.try_("balance")
    assert (result.stdout, result.stderr) == ("", "nothing is held in your name\n")
    assert stranger.try_("--quiet", "balance").stderr == ""

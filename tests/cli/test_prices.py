"""`decent prices`, `decent quote` and `decent admin price` at a command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Desk
from tests.http.test_prices import settled
from tests.support.platform import Platform

pytestmark = pytest.mark.slow  # whole accounts on a whole platform


def test_nobody_is_shown_a_number_that_nobody_stands_for(stranger: Desk) -> None:
    # DCT has no market in this module, whatever else the platform heard.
    table = stranger.show("prices", "DCT")
    assert "halted" in table
    assert "1.00" not in table
    found = stranger.run("prices", "DCT")
    assert (found["usd"], found["can_quote"]) == (None, False)
    assert found["reason"]
    assert "no source is switched on" in stranger.try_("prices", "--sources").stderr


def test_a_price_by_hand_is_set_seen_and_withdrawn(
    platform: Platform, tenant: Desk, stranger: Desk
) -> None:
    account = tenant.run("account", "show")["id"]
    assert tenant.refused(4, "admin", "price", "show", "DCT")["kind"] == "forbidden"
    tenant.run("admin", "grant", account, "--data", platform.server.settings.data)
    missing = tenant.refused(5, "admin", "price", "show", "DCT")
    assert missing["code"] == "not_found"
    set_ = ("admin", "price", "set", "DCT", "--usd", "0.0204", "--hours", "2", "--yes")
    assert tenant.run(*set_)["usd"] == "0.0204"
    seen = stranger.run("prices", "dct")
    assert (seen["usd"], seen["origin"], seen["can_quote"]) == ("0.0204", "operator", True)
    assert "operator, by hand" in stranger.show("prices", "DCT")
    quote = tenant.run("quote", "DCT", "2.04")
    assert quote["amount"] == {"amount_minor": "100000000000", "asset": "DCT"}
    text = tenant.show("quote", "DCT", "2.04")
    assert "100.000000000 DCT" in text
    assert "operator, by hand" in text
    assert "0.0204 USD, by hand" in tenant.show("admin", "price", "show", "DCT")
    assert tenant.run("admin", "price", "withdraw", "DCT")["withdrawn_at"]
    assert stranger.run("prices", "DCT")["usd"] is None
    assert tenant.run(*set_)["n"] == 2
    tenant.run("admin", "price", "withdraw", "DCT")


def test_a_market_is_shown_with_sources_history_and_chart(
    platform: Platform, stranger: Desk, tenant: Desk
) -> None:
    settled(platform, 5)
    table = stranger.show("prices", "ICP", "--sources")
    assert "market" in table
    assert stranger.run("prices", "ICP")["usd"] == "5"
    assert len(stranger.run("prices", "ICP", "--history", "2")["items"]) == 2
    assert "0.00 %" in stranger.show("prices", "ICP", "--history", "2")
    assert set(stranger.run("prices", "ICP", "--chart", "day")["close"]) == {"5"}
    assert "5" in stranger.show("prices", "ICP", "--chart", "week")
    assert stranger.refused(2, "prices", "--history", "2")["code"] == "usage"
    assert tenant.refused(6, "quote", "DCT", "1")["code"] == "price_unavailable"

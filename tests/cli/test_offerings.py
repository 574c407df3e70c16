"""Offerings at the command line: drafted from files and flags, signed only as they were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Desk

pytestmark = pytest.mark.slow  # whole accounts on a whole platform

SHEET = """
title = "Small box"
kind = "container"
pool = "barn"
image = "tiny"
cpu = 0.5
memory_mib = 128
disk_gib = 0
country = "CH"
asset = "USD"
price_per_hour = 0.05
stock = 3
"""


@pytest.fixture
def sheet(tmp_path: Path) -> str:
    file = tmp_path / "small.toml"
    file.write_text(SHEET)
    return str(file)


def test_a_draft_from_a_file_has_exact_numbers(provider: Desk, sheet: str) -> None:
    made = provider.run("offering", "create", "--file", sheet)
    assert made["price_per_hour"] == {"amount_minor": "5", "asset": "USD"}
    assert (made["cpu_milli"], made["state"], made["stock"]) == (500, "draft", 3)
    assert provider.run("offering", "show", made["id"]) == made


def test_flags_win_over_the_file(provider: Desk, sheet: str) -> None:
    flags = ("--price-per-hour", "1.20", "--cpu", "2", "--setting", "net=wide", "--stock", "7")
    made = provider.run("offering", "create", "--file", sheet, *flags)
    assert made["price_per_hour"]["amount_minor"] == "120"
    assert (made["cpu_milli"], made["stock"], made["settings"]) == (2000, 7, {"net": "wide"})


def test_publishing_signs_what_was_drafted(provider: Desk, sheet: str) -> None:
    made = provider.run("offering", "create", "--file", sheet)
    published = provider.run("offering", "publish", made["id"])
    assert (published["state"], published["n"]) == ("published", 1)
    assert published["offer"]["s"][0]["k"] == provider.person().keys.kid
    assert made["id"] in [one["id"] for one in provider.run("offering", "list")["items"]]
    again = provider.run("offering", "publish", made["id"])
    assert again["n"] == 2


def test_a_person_sees_the_terms_before_they_are_signed(provider: Desk, sheet: str) -> None:
    result = provider.try_("offering", "create", "--file", sheet, "--publish")
    assert result.exit_code == 0, result.stderr
    assert "price: 0.05 USD per hour" in result.stderr
    assert "published, version 1" in result.stdout


def test_terms_that_differ_from_the_draft_are_not_signed(provider: Desk, sheet: str) -> None:
    made = provider.run("offering", "create", "--file", sheet)
    kept = provider.profile / "offerings" / f"{made['id']}.json"
    kept.write_text(
        kept.read_text().replace('"price_minor_per_hour":"5"', '"price_minor_per_hour":"6"')
    )
    error = provider.refused(3, "offering", "publish", made["id"], "--yes")
    assert (error["code"], error["errors"][0]["field"]) == ("terms_differ", "terms.price")


def test_a_draft_from_elsewhere_needs_a_persons_yes(provider: Desk, sheet: str) -> None:
    made = provider.run("offering", "create", "--file", sheet)
    (provider.profile / "offerings" / f"{made['id']}.json").unlink()
    assert provider.refused(2, "offering", "publish", made["id"])["errors"][0]["field"] == "yes"
    assert provider.run("offering", "publish", made["id"], "--yes")["state"] == "published"


def test_new_terms_need_a_new_publish_and_new_stock_does_not(provider: Desk, sheet: str) -> None:
    made = provider.run("offering", "create", "--file", sheet, "--publish")
    more = provider.run("offering", "update", made["id"], "--stock", "9")
    assert (more["state"], more["stock"], more["title"]) == ("published", 9, "Small box")
    dearer = provider.run("offering", "update", made["id"], "--price-per-hour", "0.06")
    assert (dearer["state"], dearer["price_per_hour"]["amount_minor"]) == ("draft", "6")
    assert provider.run("offering", "publish", made["id"])["n"] == 2
    assert provider.run("offering", "withdraw", made["id"])["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('country = "CH"|country = "Switzerland"', "country"),
        ("memory_mib = 128|memory_mib = 1", "memory_mib"),
        ("price_per_hour = 0.05|price_per_hour = 0.001", "price_per_hour"),
        ("price_per_hour = 0.05|price_per_hour = 0", "price_minor_per_hour"),
        ('price_per_hour = 0.05|price_per_hour = "much"', "price_per_hour"),
        ('asset = "USD"|asset = "XYZ"', "asset"),
        ("cpu = 0.5|cpu = 0.0001", "cpu"),
        ("cpu = 0.5|cpu = 'many'", "cpu"),
        ('pool = "barn"|pool = "attic"', "pool"),
    ],
)
def test_a_field_that_cannot_be_is_named(
    provider: Desk, tmp_path: Path, change: str, field: str
) -> None:
    file = tmp_path / "odd.toml"
    before, _, after = change.partition("|")
    file.write_text(SHEET.replace(before, after))
    error = provider.refused(5 if field == "pool" else 2, "offering", "create", "--file", str(file))
    assert field in [one["field"] for one in error["errors"]]


def test_an_unknown_field_is_refused(provider: Desk, tmp_path: Path) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(SHEET + "colour = 'red'\n")
    assert "colour" in provider.refused(2, "offering", "create", "--file", str(file))["message"]
    file.write_text("title = ")
    assert "TOML" in provider.refused(2, "offering", "create", "--file", str(file))["message"]
    assert provider.refused(5, "offering", "create", "--file", str(tmp_path / "none"))["errors"]
    assert (
        provider.refused(2, "offering", "create", "--setting", "x")["errors"][0]["field"]
        == "setting"
    )


def test_a_shared_offering_is_found_by_those_it_is_shared_with(
    provider: Desk, tenant: Desk, stranger: Desk, sheet: str
) -> None:
    account = tenant.run("account", "show")["id"]
    shared = ("--visibility", "shared", "--allow", account, "--title", "For friends")
    made = provider.run("offering", "create", "--file", sheet, *shared, "--publish")
    seen = [one["id"] for one in tenant.run("search", "--all")["items"]]
    assert made["id"] in seen
    assert made["id"] not in [one["id"] for one in stranger.run("search", "--all")["items"]]
    assert stranger.refused(5, "offering", "show", made["id"])["code"] == "not_found"


def test_search_filters_and_says_why_something_cannot_be_rented(
    provider: Desk, stranger: Desk, sheet: str
) -> None:
    made = provider.run("offering", "create", "--file", sheet, "--country", "DE", "--publish")
    found = stranger.run(
        "search", "--all", "--country", "de", "--max-price", "0.05", "--asset", "USD"
    )
    assert [one["id"] for one in found["items"]] == [made["id"]]
    assert found["items"][0]["not_rentable_because"]
    assert stranger.run("search", "--country", "DE")["items"] == []
    assert stranger.run("search", "--all", "--min-cpu", "64")["items"] == []
    assert stranger.refused(2, "search", "--max-price", "1")["errors"][0]["field"] == "asset"
    assert stranger.refused(2, "search", "--min-cpu", "many")["errors"][0]["field"] == "min_cpu"
    table = stranger.show("search", "--all", "--country", "DE")
    assert made["id"] in table
    assert "no_agent_online" in table


def test_a_title_cannot_drive_the_terminal(provider: Desk, stranger: Desk, sheet: str) -> None:
    title = "Red \x1b[31m[bold]box[/bold]"
    provider.run(
        "offering", "create", "--file", sheet, "--title", title, "--country", "LI", "--publish"
    )
    table = stranger.show("search", "--all", "--country", "LI")
    assert "\x1b" not in table
    assert "[bold]box[/bold]" in table


def test_a_tenant_is_told_how_to_become_a_provider(tenant: Desk, sheet: str) -> None:
    error = tenant.refused(6, "pool", "create", "x", "--driver", "fake")
    assert "decent provider create" in error["cure"]


def test_a_person_becomes_a_provider_with_a_pool(stranger: Desk) -> None:
    stranger.run("account", "create")
    assert "Basement" in stranger.show(
        "provider", "create", "Basement", "--website", "https://b.example"
    )
    made = stranger.try_("pool", "create", "rack", "--driver", "fake")
    assert "setup-token create --pool rack" in made.stderr
    assert "rack" in stranger.show("pool", "list")
    token = stranger.try_("setup-token", "create", "--pool", "rack")
    assert "dc-agent register" in token.stderr
    assert stranger.try_("agents", "list").stderr.startswith("no agents yet")
    assert stranger.refused(6, "provider", "create", "Again")["kind"] == "conflict"

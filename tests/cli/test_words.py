"""Amounts, cores and times as people write and read them; keys as files name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from decent_cloud.cli import words
from decent_cloud.cli.keys import Identities, public_keys
from decent_cloud.cli.output import shown
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.money import Asset
from tests.cli.conftest import SSH_PUBLIC


@pytest.mark.parametrize(
    ("text", "asset", "amount_minor"),
    [
        ("0.05", Asset.USD, 5),
        ("12", Asset.USD, 1200),
        ("0.00000001", Asset.CKBTC, 1),
        ("1e2", Asset.USD, 10_000),
    ],
)
def test_an_amount_is_exact(text: str, asset: Asset, amount_minor: int) -> None:
    assert words.parse_amount(text, asset, "price") == amount_minor


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0.001", "NaN", "Infinity", "1e30", "1e999999999", "0,5"]
)
def test_an_amount_that_is_none_names_its_field(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        words.parse_amount(text, Asset.USD, "price")
    assert caught.value.field == "price"


@pytest.mark.parametrize(
    ("text", "milli"), [("0.5", 500), ("2", 2000), ("0.125", 125), ("1024", 1_024_000)]
)
def test_cores_are_thousandths(text: str, milli: int) -> None:
    assert words.parse_cores(text, "cpu") == milli
    assert words.parse_cores(words.cores(milli), "cpu") == milli


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0.0001", "NaN", "Infinity", "1025", "1e999999999"]
)
def test_cores_that_are_none_name_their_field(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        words.parse_cores(text, "cpu")
    assert caught.value.field == "cpu"


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0 s"),
        (119_999, "119 s"),
        (2 * MINUTE_MS, "2 min"),
        (2 * HOUR_MS, "2 h"),
        (2 * DAY_MS, "2 d"),
    ],
)
def test_a_span_is_shown_in_its_largest_useful_unit(span_ms: int, text: str) -> None:
    assert words.duration(span_ms) == text
    assert words.ago(1_000_000_000_000 - span_ms, 1_000_000_000_000) == f"{text} ago"
    assert words.ago(1_000_000_000_001 + span_ms, 1_000_000_000_001 if span_ms else 0).startswith(
        "in "
    )


def test_what_would_drive_the_terminal_is_replaced() -> None:
    assert "\x1b" not in shown("\x1b[2Jgone\u202e\n")
    assert shown("Zürich 東京") == "Zürich 東京"


def test_keys_come_from_several_files_once_each_without_comments(tmp_path: Path) -> None:
    one, two = tmp_path / "a.pub", tmp_path / "b.pub"
    one.write_text(f"# mine\n{SSH_PUBLIC}\n\n")
    two.write_text(SSH_PUBLIC.replace("me@here", "me@there"))
    assert public_keys((one, two)) == (SSH_PUBLIC.rsplit(" ", 1)[0],)


def test_a_private_key_stands_for_the_public_one_beside_it(tmp_path: Path) -> None:
    private = tmp_path / "id_ed25519"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    private.with_name("id_ed25519.pub").write_text(SSH_PUBLIC)
    assert public_keys((private,)) == (SSH_PUBLIC.rsplit(" ", 1)[0],)
    identities = Identities(tmp_path / "identities")
    identities.remember("c1", f"{private}.pub")
    identities.remember("c2", str(tmp_path / "gone.pub"))
    assert identities.find("c1") == str(private)
    assert identities.find("c2") == ""

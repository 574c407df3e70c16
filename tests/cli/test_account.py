"""Accounts at the command line: made once, kept in a private file, refused when something is odd."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import pytest

from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.recovery import seed_from_words
from tests.cli.conftest import Desk

pytestmark = pytest.mark.slow  # whole accounts on a whole platform


def test_a_new_account_has_this_device_and_the_recovery_words(stranger: Desk) -> None:
    made = stranger.run("account", "create", "--name", "Ada", "--email", "ada@example.org")
    words = made.pop("recovery_words")
    shown = stranger.run("account", "show")
    assert shown == made
    assert (shown["display_name"], shown["email"]) == ("Ada", "ada@example.org")
    kids = {device["type"]: device["kid"] for device in shown["devices"]}
    assert kids["recovery"] == DeviceKeys(seed_from_words(words)).kid
    assert set(kids) == {"cli", "recovery"}


def test_words_are_shown_once_to_a_person_and_kept_nowhere(stranger: Desk) -> None:
    shown = stranger.show("account", "create")
    line = next(line for line in shown.splitlines() if line.split()[:1] == ["1"])
    for word in line.split()[1::2]:
        assert all(word not in file.read_text() for file in _files(stranger.home))
    assert "Recovery words" not in stranger.show("account", "show")


def test_words_go_to_a_private_file_instead(stranger: Desk, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    made = stranger.run("account", "create", "--words-file", str(file))
    assert "recovery_words" not in made
    assert len(file.read_text().split()) == 12
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = ("--profile", "second")
    assert stranger.refused(6, *other, "account", "create", "--words-file", str(file))["message"]


def test_secret_files_can_be_read_by_their_owner_only(tenant: Desk) -> None:
    files = _files(tenant.home)
    assert any(file.suffix == ".key" for file in files)
    assert all(
        stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in files if file.suffix != ".lock"
    )


def test_a_profile_has_one_account(tenant: Desk) -> None:
    error = tenant.refused(6, "account", "create")
    assert (error["code"], error["errors"][0]["field"]) == ("already_exists", "profile")
    assert "--profile" in error["message"]


def test_profiles_are_apart(stranger: Desk) -> None:
    first = stranger.run("account", "create")
    second = stranger.run("--profile", "work", "account", "create")
    assert first["id"] != second["id"]
    assert stranger.run("account", "show")["id"] == first["id"]
    assert stranger.run("--profile", "work", "account", "show")["id"] == second["id"]


def test_the_profile_remembers_the_platform(stranger: Desk) -> None:
    stranger.run("account", "create")
    elsewhere = dataclasses.replace(stranger, url="")
    assert elsewhere.run("account", "show")["id"]


def test_a_key_file_that_others_can_read_is_refused(stranger: Desk) -> None:
    stranger.run("account", "create")
    (key,) = stranger.profile.glob("*.key")
    os.chmod(key, 0o640)
    error = stranger.refused(3, "account", "show")
    assert error["code"] == "file_exposed"
    assert f"chmod 600 {key}" in error["message"]


def test_a_damaged_or_missing_key_is_refused(stranger: Desk) -> None:
    stranger.run("account", "create")
    (key,) = stranger.profile.glob("*.key")
    whole = key.read_text()
    key.write_text(whole.replace('"seed":"', '"seed":"A'))
    assert stranger.refused(3, "account", "show")["code"] == "no_device_key"
    key.unlink()
    assert stranger.refused(3, "account", "show")["code"] == "no_device_key"


def test_another_device_key_is_unknown_to_the_platform(stranger: Desk, tenant: Desk) -> None:
    stranger.run("account", "create")
    (mine,), (theirs,) = stranger.profile.glob("*.key"), tenant.profile.glob("*.key")
    mine.write_bytes(theirs.read_bytes())
    assert stranger.refused(3, "account", "show")["code"] == "no_device_key"


def test_without_an_account_the_cure_is_named(stranger: Desk) -> None:
    error = stranger.refused(3, "contracts", "list")
    assert error["code"] == "no_device_key"
    assert "decent account create" in error["message"]


def test_without_a_platform_the_field_is_named(stranger: Desk) -> None:
    nowhere = dataclasses.replace(stranger, url="")
    error = nowhere.refused(2, "search")
    assert error["errors"] == [{"field": "platform", "message": ""}]


def test_a_platform_that_does_not_answer_is_exit_code_8_and_leaves_nothing(stranger: Desk) -> None:
    dead = dataclasses.replace(stranger, url="http://127.0.0.1:1")
    error = dead.refused(8, "account", "create")
    assert error["code"] == "platform_unreachable"
    assert "--platform" in error["cure"]
    assert _files(stranger.home) == []


def test_an_address_that_is_none_is_refused(stranger: Desk) -> None:
    odd = dataclasses.replace(stranger, url="ftp://example")
    assert odd.refused(2, "search")["errors"][0]["field"] == "platform"


def test_errors_for_a_person_name_code_field_and_cure(stranger: Desk) -> None:
    result = stranger.try_("--platform", "http://127.0.0.1:1", "search")
    assert result.exit_code == 8
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "[platform_unreachable]" in result.stderr
    assert "  try: " in result.stderr


def test_a_config_file_with_an_odd_setting_is_refused(stranger: Desk) -> None:
    stranger.home.mkdir(parents=True)
    file = stranger.home / "config.toml"
    for text, word in (
        ("[profiles.default]\ncolour = 'red'", "colour"),
        ("[", "TOML"),
        ("[profiles.default]\naccount=5", "texts"),
    ):
        file.write_text(text)
        error = stranger.refused(2, "search")
        assert word in error["message"]
        assert error["errors"][0]["field"] == "config"
    file.unlink()
    assert stranger.refused(2, "--profile", "../up", "search")["errors"][0]["field"] == "profile"


def test_the_chain_is_printed_for_an_agent_brought_in_by_hand(tenant: Desk) -> None:
    chain = tenant.run("account", "chain")
    assert chain["account"] == tenant.run("account", "show")["id"]
    assert len(chain["links"]) == chain["seq"] + 1


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_words_are_shown_also_when_the_profile_is_refused(stranger: Desk) -> None:
    result = stranger.try_("account", "create", "--email", "nonsense")
    assert result.exit_code == 2
    assert "Recovery words" in result.stdout
    assert "email" in result.stderr
    assert stranger.run("account", "show")["email"] == ""


def test_a_keyring_that_is_none_is_said_so(stranger: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keyring")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    error = stranger.refused(3, "account", "create", "--key-store", "keyring")
    assert (error["code"], error["errors"][0]["field"]) == ("no_device_key", "keyring")
    assert "--key-store file" in error["message"]

"""The server's settings: read from file, environment and command line, refused where unsafe."""

from __future__ import annotations

from pathlib import Path

import pytest

from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import ServerMode
from decent_cloud.programs.server_settings import read_settings


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('data = "a"\nlisten = "127.0.0.1:1"\nlog_level = "debug"\n')
    environment = {"DECENT_DATA": "b", "DECENT_LISTEN": "127.0.0.1:2", "DECENT_HOME": "ignored"}
    given = {"data": "c", "listen": None}
    settings = read_settings(file, environment, given)
    assert (settings.data, settings.listen, settings.log_level) == ("c", "127.0.0.1:2", "debug")


def test_the_environment_has_the_types_of_the_settings() -> None:
    environment = {
        "DECENT_MODE": "production",
        "DECENT_PUBLIC_ORIGINS": "https://a.example, https://b.example",
        "DECENT_PROXIES": "10.0.0.0/8",
        "DECENT_LISTEN_ANYWHERE": "yes",
        "DECENT_REQUESTS_PER_MINUTE_ADDRESS": "7",
        "DECENT_REACH_DEADLINE_S": "2.5",
        "DECENT_METRICS_TOKEN": "hidden",
    }
    settings = read_settings(environment=environment)
    assert settings.mode is ServerMode.PRODUCTION
    assert settings.public_origins == ("https://a.example", "https://b.example")
    assert settings.listen_anywhere
    assert settings.requests_per_minute_address == 7
    assert settings.reach_deadline_s == 2.5
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "field", "word"),
    [
        ({"listen": "0.0.0.0:8080"}, "listen", "loopback only"),
        ({"listen": "8080"}, "listen", "host:port"),
        ({"listen": "127.0.0.1:99999"}, "listen", "host:port"),
        ({"mode": "production"}, "public_origins", "name the origins"),
        ({"mode": "test"}, "mode", "Invalid enum value"),
        ({"public_origins": ("https://a.example/x",)}, "public_origins", "host only"),
        ({"public_origins": ("a.example",)}, "public_origins", "host only"),
        (
            {"public_origins": ("https://a.example",), "listen": "127.0.0.1:0"},
            "listen",
            "chosen port",
        ),
        ({"proxies": ("10.0.0.1/8",)}, "proxies", "10.0.0.0/8"),
        ({"outbound_ranges": ("all",)}, "outbound_ranges", "ranges"),
        ({"reach_anchors": ("example",)}, "reach_anchors", "host:port"),
        ({"requests_per_minute_address": 0}, "requests_per_minute_address", ">= 1"),
        ({"colour": "red"}, "", "unknown field `colour`"),
    ],
)
def test_what_is_unsafe_or_unknown_is_refused(
    given: dict[str, object], field: str, word: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read_settings(given=given)
    assert refused.value.field == field
    assert word in refused.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        read_settings(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("data = ")
    with pytest.raises(Invalid, match=r"broken\.toml"):
        read_settings(broken)
    with pytest.raises(Invalid, match="not a number"):
        read_settings(environment={"DECENT_REACH_DEADLINE_S": "soon"})


def test_a_development_server_may_be_forced_into_the_open() -> None:
    given = {"listen": "0.0.0.0:8080", "listen_anywhere": True}
    with pytest.raises(Invalid, match="name the origins"):
        read_settings(given=given)
    settings = read_settings(given={**given, "public_origins": ("http://10.0.0.5:8080",)})
    assert settings.address == ("0.0.0.0", 8080)
    assert read_settings(given={"listen": "[::1]:80"}).address == ("::1", 80)
    assert read_settings(given={"listen": "localhost:80"}).address == ("localhost", 80)

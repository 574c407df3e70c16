"""Errors carry a stable code, a kind, a message with a default, and safe details."""

from decent_cloud.kernel.errors import Conflict, Invalid, Kind, RateLimited, StaleVersion


def test_the_docstring_is_the_default_message() -> None:
    assert StaleVersion().message == "Another writer changed this record first."
    assert str(StaleVersion("other")) == "other"


def test_a_subclass_keeps_its_parents_kind() -> None:
    assert StaleVersion.kind is Kind.CONFLICT
    assert issubclass(StaleVersion, Conflict)
    assert StaleVersion.code == "stale_version"


def test_the_offending_field_is_named() -> None:
    assert Invalid("too long", field="title", limit=80).details == {"field": "title", "limit": 80}
    assert Invalid("bad").details == {}


def test_a_rate_limit_says_when_to_come_back() -> None:
    assert RateLimited(retry_after_s=7).retry_after_s == 7

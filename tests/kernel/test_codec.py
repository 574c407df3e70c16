"""Bodies are strict on the way in, and a refusal names the field."""

from typing import Annotated

import msgspec
import pytest

from decent_cloud.kernel.codec import Answer, Request, convert, from_json, plain, to_json
from decent_cloud.kernel.errors import Invalid


class Inner(Request, frozen=True):
    count: Annotated[int, msgspec.Meta(ge=1)]


class Outer(Request, frozen=True):
    name: str
    inner: Inner


class Lenient(Answer, frozen=True):
    name: str


def test_a_body_round_trips() -> None:
    outer = Outer(name="a", inner=Inner(count=2))
    assert from_json(to_json(outer), Outer) == outer
    assert convert(plain(outer), Outer) == outer


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"name":"a","inner":{"count":0}}', "inner.count"),
        (b'{"name":1,"inner":{"count":1}}', "name"),
        (b'{"name":"a","inner":{"count":1,"x":1}}', "inner"),
        (b"{", ""),
    ],
)
def test_a_refusal_names_the_field(raw: bytes, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_json(raw, Outer)
    assert refused.value.field == field


def test_conversion_refuses_the_same_way() -> None:
    with pytest.raises(Invalid) as refused:
        convert({"name": "a", "inner": {"count": 0}}, Outer)
    assert refused.value.field == "inner.count"


def test_answers_may_carry_fields_we_do_not_know() -> None:
    assert from_json(b'{"name":"a","later":1}', Lenient) == Lenient(name="a")

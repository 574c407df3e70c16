from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.canonical import MAX_BYTES, MAX_INTEGER, Json, parse, read, write
from decent_cloud.domain.keys.errors import BadShape, NotCanonical
from decent_cloud.domain.keys.fields import Fields, ascending

_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_keys = st.text(st.characters(max_codepoint=127), max_size=6)
_values: st.SearchStrategy[Json] = st.recursive(
    st.integers(0, MAX_INTEGER) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=10,
)


def nested(levels: int) -> Json:
    value: Json = []
    for _ in range(levels - 1):
        value = [value]
    return value


def depth(value: Json) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(_values)
def test_what_is_written_reads_back_as_the_same_value(value: Json) -> None:
    if depth(value) > 8:
        with pytest.raises(NotCanonical):
            write(value)
    else:
        assert parse(write(value)) == value
        assert write(parse(write(value))) == write(value)


@given(_values, st.data())
def test_a_changed_byte_is_refused_or_another_value(value: Json, data: st.DataObject) -> None:
    assume(depth(value) < 8)
    raw = bytearray(write({"v": value}))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = parse(bytes(raw))
    except NotCanonical:
        return
    assert changed != {"v": value}
    assert write(changed) == raw


@given(st.binary(max_size=40))
def test_bytes_from_anywhere_are_refused_or_canonical(raw: bytes) -> None:
    try:
        value = parse(raw)
    except NotCanonical:
        return
    assert write(value) == raw


def test_keys_are_sorted_and_only_the_named_characters_escaped() -> None:
    value: Json = {"b": '"\\/', "a": "\b\t\n\f\r\x00\x1f\x7f\u2028é𐍈", "A": [1, 0]}
    expected = '{"A":[1,0],"a":"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\u2028é𐍈","b":"\\"\\\\/"}'
    assert write(value) == expected.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'\xef\xbb\xbf{"a":1}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-1}',
        b'{"a":-0}',
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":true}',
        b'{"a":false}',
        b'{"a":null}',
        b'{"a":"\\/"}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\\u001F"}',
        b'{"a":"\\u000a"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        '{"é":1}'.encode(),
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 9 + b"]" * 9,
        b"[" * 30_000 + b"]" * 30_000,
    ],
)
def test_another_spelling_type_or_size_is_refused(raw: bytes) -> None:
    with pytest.raises(NotCanonical):
        parse(raw)


@pytest.mark.parametrize(
    "value", [True, None, 1.5, -1, MAX_INTEGER + 1, "\ud800", {1: "a"}, {"é": 1}, (1,), [True]]
)
def test_what_cannot_be_read_is_not_written(value: object) -> None:
    with pytest.raises(NotCanonical):
        write(cast("Json", value))


def test_subclasses_are_not_taken_for_the_plain_types() -> None:
    class Loud(str):
        __slots__ = ()

    class Table(dict[str, Json]):
        pass

    for value in (Loud("a"), Table(a=1), [Loud("a")]):
        with pytest.raises(NotCanonical):
            write(cast("Json", value))


def test_the_limits_are_met_exactly() -> None:
    assert parse(write(nested(8))) == nested(8)
    with pytest.raises(NotCanonical):
        write(nested(9))
    assert parse(write(MAX_INTEGER)) == MAX_INTEGER
    longest = b'"' + b"a" * (MAX_BYTES - 2) + b'"'
    assert write(parse(longest)) == longest
    with pytest.raises(NotCanonical):
        parse(b'"' + b"a" * (MAX_BYTES - 1) + b'"')


def test_loose_reading_forgives_layout_alone() -> None:
    assert read(b' { "b" : 1, "a" : "\\u00e9" } ') == {"a": "é", "b": 1}
    for raw in (b'{"a":1,"a":1}', b'{"a":true}', b'{"a":1.0}', b"[-1]", b"[-0]", b"\xef\xbb\xbf{}"):
        with pytest.raises(NotCanonical):
            read(raw)


@given(st.binary(max_size=64))
def test_base64url_has_one_text_for_each_byte_string(raw: bytes) -> None:
    text = b64u.encode(raw)
    assert b64u.decode(text, len(raw)) == raw
    with pytest.raises(NotCanonical):
        b64u.decode(text, len(raw) + 1)


@given(st.binary(min_size=1, max_size=24), st.data())
def test_a_changed_base64url_text_is_refused_or_other_bytes(
    raw: bytes, data: st.DataObject
) -> None:
    text = b64u.encode(raw)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    try:
        decoded = b64u.decode(changed)
    except NotCanonical:
        return
    assert (decoded == raw) == (changed == text)


@pytest.mark.parametrize("text", ["AA==", "AB", "A", "A A", "A+A_", "A/AA", "ÀAAA", "AAAA\n", "="])
def test_padding_stray_bits_and_foreign_characters_are_refused(text: str) -> None:
    with pytest.raises(NotCanonical):
        b64u.decode(text)


@pytest.mark.parametrize("text", ["", "ab" * 31, "AB" * 32, "zz" * 32, "ab " * 32, "ab" * 33])
def test_only_64_lower_case_hex_digits_are_an_id(text: str) -> None:
    with pytest.raises(BadShape):
        b64u.from_hex(text)


def test_fields_take_exactly_the_listed_keys_and_types() -> None:
    value = json.loads('{"n":1,"s":"x","l":["x"],"o":{"n":2}}')
    fields = Fields(value, ("n", "s", "l", "o"))
    assert fields.integer("n", 1, 1) == 1
    assert fields.texts("l") == ("x",)
    assert fields.inner("o", ("n",)).count("n") == 2
    others: list[object] = [[], "x", {}, {**value, "more": 1}]
    for refused in others:
        with pytest.raises(BadShape):
            Fields(refused, ("n", "s", "l", "o"))
    with pytest.raises(BadShape):
        fields.text("n")
    with pytest.raises(BadShape):
        fields.integer("s")
    with pytest.raises(BadShape):
        fields.values("s")
    with pytest.raises(BadShape):
        Fields({"l": [1]}, ("l",)).texts("l")
    with pytest.raises(BadShape):
        Fields({"n": True}, ("n",)).integer("n")
    with pytest.raises(BadShape):
        Fields({"n": 2**31}, ("n",)).count("n")
    with pytest.raises(BadShape):
        fields.choice("s", ("y",))


@pytest.mark.parametrize("texts", [("b", "a"), ("a", "a"), ("é",)])
def test_lists_that_must_ascend_do(texts: tuple[str, ...]) -> None:
    ascending(("a", "b"), "list")
    with pytest.raises(BadShape):
        ascending(texts, "list")

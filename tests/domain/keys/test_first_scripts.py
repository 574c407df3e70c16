"""What terms say of first scripts, and which texts a provider may give."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from decent_cloud.domain.keys.errors import BadShape, NotCanonical
from decent_cloud.domain.keys.first_scripts import (
    MAX_BYTES,
    FirstScript,
    read_script,
    script_hash,
    script_in,
)
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import OnScriptFailure, ScriptKind

TEXT = "#!/bin/sh\n\techo 'grüezi'\n"


def read(text: str = TEXT, timeout_s: int = 600, provision_timeout_s: int = 1_800) -> FirstScript:
    return read_script(text, timeout_s, OnScriptFailure.FAIL, provision_timeout_s)


def test_a_script_is_named_by_its_hash() -> None:
    found = read()
    assert found.sha256 == hashlib.sha256(TEXT.encode()).hexdigest() == script_hash(TEXT)
    assert (found.kind, found.timeout_s) == (ScriptKind.SCRIPT, 600)
    assert script_in({"title": "x", "first_script": found.to_json()}) == found


@pytest.mark.parametrize(
    "text", ["#cloud-config\nruncmd: []\n", "#cloud-config", "#cloud-config \n"]
)
def test_cloud_config_is_the_other_kind(text: str) -> None:
    assert read(text).kind is ScriptKind.CLOUD_CONFIG


@pytest.mark.parametrize(
    "text",
    [
        "",
        "echo hello\n",
        "# cloud-config\n",
        "#cloud-configuration\n",
        "\n#!/bin/sh\n",
        "#!/bin/sh\r\n",
        "#!/bin/sh\n\x00",
        "#!/bin/sh\n\x1b[2J",
        "#!/bin/sh\n" + "x" * MAX_BYTES,
        "#!/bin/sh\n" + "ü" * (MAX_BYTES // 2),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read(text)
    assert refusal.value.field == "first_script"


def test_the_longest_text_is_taken() -> None:
    head = "#!/bin/sh\n"
    assert read(head + "x" * (MAX_BYTES - len(head))).kind is ScriptKind.SCRIPT


@pytest.mark.parametrize(("timeout_s", "provision_timeout_s"), [(9, 1_800), (541, 600), (10, 30)])
def test_it_ends_before_the_time_for_delivery_does(
    timeout_s: int, provision_timeout_s: int
) -> None:
    with pytest.raises(Invalid) as refusal:
        read(timeout_s=timeout_s, provision_timeout_s=provision_timeout_s)
    assert refusal.value.field == "first_script_timeout_s"
    assert read(timeout_s=540, provision_timeout_s=600).timeout_s == 540


@pytest.mark.parametrize("terms", [None, [], {}, {"title": "x"}])
def test_terms_without_one_name_none(terms: object) -> None:
    assert script_in(terms) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "program"},
        {"on_failure": "retry"},
        {"sha256": "x"},
        {"timeout_s": 5},
        {"timeout_s": 3_601},
        {"more": 1},
    ],
)
def test_odd_terms_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises((BadShape, NotCanonical)):
        script_in({"first_script": {**read().to_json(), **change}})

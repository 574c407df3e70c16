from __future__ import annotations

import pytest

from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, parse_device
from decent_cloud.domain.keys.errors import (
    BadPoint,
    BadShape,
    BadWords,
    CannotOpen,
    KeyRefused,
    NotCanonical,
)
from decent_cloud.domain.keys.recovery import entropy_of, seed_from_passkey, words_of
from tests.domain.keys import vectors
from tests.domain.keys.family import holder
from tests.domain.keys.vectors import named_seed


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(BadShape):
        DeviceKeys(bytes(length))


def test_secrets_do_not_show_when_printed() -> None:
    keys = holder("laptop").keys
    assert repr(keys) == f"DeviceKeys({keys.kid})"


def test_the_public_form_reads_back() -> None:
    for one in (holder("laptop"), holder("agent", DeviceType.AGENT, 2)):
        assert parse_device(one.device.to_json()) == one.device


def test_the_signing_key_is_the_devices() -> None:
    keys = holder("laptop").keys
    assert keys.ed25519.public_key().public_bytes_raw() == keys.sig


def test_an_agent_has_rank_two() -> None:
    for rank in (0, 1):
        with pytest.raises(BadShape):
            holder("agent", DeviceType.AGENT, rank)


@pytest.mark.parametrize(
    "change",
    [
        {"t": "tablet"},
        {"t": "agent"},
        {"t": 1},
        {"r": 3},
        {"r": -1},
        {"r": True},
        {"r": "1"},
        {"kid": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"kid": "AAAA"},
        {"enc": "AAAA"},
        {"sig": holder("cli").device.to_json()["sig"]},
        {"enc": holder("cli").device.to_json()["enc"]},
        {"name": "my laptop"},
    ],
)
def test_a_device_with_a_wrong_field_is_refused(change: dict[str, Json]) -> None:
    with pytest.raises(KeyRefused):
        parse_device({**holder("laptop").device.to_json(), **change})


def test_a_device_without_a_field_is_refused() -> None:
    for key in ("enc", "kid", "r", "sig", "t"):
        form = holder("laptop").device.to_json()
        del form[key]
        with pytest.raises(BadShape):
            parse_device(form)


def test_a_device_with_a_weak_key_is_refused() -> None:
    form = holder("laptop").device.to_json()
    with pytest.raises(BadPoint):
        parse_device({**form, "sig": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
    with pytest.raises(BadPoint):
        parse_device({**form, "enc": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
    with pytest.raises(NotCanonical):
        parse_device({**form, "enc": str(form["enc"]) + "="})


def test_words_are_read_in_any_case_and_spacing() -> None:
    loose = "  " + vectors.WORDS.upper().replace(" ", " \n ") + "\t"
    assert entropy_of(loose).hex() == vectors.ENTROPY


@pytest.mark.parametrize(
    "words",
    [
        "",
        vectors.WORDS + " vendor",
        " ".join(vectors.WORDS.split()[:11]),
        vectors.WORDS.replace("vendor", "wendor"),
        vectors.WORDS.replace("vendor", "zoo"),
    ],
)
def test_other_words_are_refused_without_naming_them(words: str) -> None:
    with pytest.raises(BadWords) as refusal:
        entropy_of(words)
    assert str(refusal.value) == "These are not twelve recovery words."
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize("length", [15, 17, 32])
def test_words_come_from_sixteen_bytes(length: int) -> None:
    with pytest.raises(BadWords):
        words_of(bytes(length))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_passkey_without_its_secret_cannot_unlock(length: int) -> None:
    with pytest.raises(CannotOpen):
        seed_from_passkey(bytes(length))


def test_seeds_of_different_devices_differ() -> None:
    assert DeviceKeys(named_seed("a")).kid != DeviceKeys(named_seed("b")).kid

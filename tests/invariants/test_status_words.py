"""Invariant 7: every status word on every wire is a member of one shared enum.

That the agent is tried against the real API, never against hand-made answers, is tests/journeys' business.
Later work adds webhooks and pages.
"""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Iterator
from enum import StrEnum
from types import UnionType
from typing import Any

import msgspec
import pytest

from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.kernel import status
from decent_cloud.kernel.lifecycle import Lifecycle
from decent_cloud.wire import v1
from devtools.charts import CHARTS

WORDS = {
    "state",
    "status",
    "desired",
    "observed",
    "visibility",
    "accept_mode",
    "kind",
    "permissions",
    "mode",
    "reason",
    "role",
    "to_state",
    "contract_state",
    "assignment_state",
}
# Words that a reader only shows, each with where it comes from.
TEXT = {
    ("HistoryEntry", "reason"): "what a person wrote",
    ("ContractEvent", "reason"): "what a person wrote",
    ("EndContract", "reason"): "what a person wrote",
    ("AsideReport", "reason"): "what the agent saw, for people",
    ("AsideView", "reason"): "what the agent saw, for people",
    ("PriceView", "reason"): "why there is no price, for people",
    ("PlatformView", "mode"): "ServerMode",
    ("Problem", "status"): "a number of HTTP's",
    ("AgentEvent", "kind"): "a hint, of which readers know nothing but that it came",
}


def structs() -> Iterator[type[msgspec.Struct]]:
    for found in pkgutil.iter_modules(v1.__path__):
        module = importlib.import_module(f"{v1.__name__}.{found.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                yield value


def enums_of(annotation: Any) -> set[type[StrEnum]]:
    """Return the enums in an annotation, looking into unions, tuples and annotated types."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return {annotation}
    if isinstance(annotation, UnionType) or typing.get_origin(annotation) is not None:
        return {found for part in typing.get_args(annotation) for found in enums_of(part)}
    return set()


FIELDS = sorted(
    {
        (struct.__name__, field.name)
        for struct in structs()
        for field in msgspec.structs.fields(struct)
        if field.name in WORDS
    }
    - TEXT.keys()
)


@pytest.mark.parametrize(("struct", "name"), FIELDS)
def test_a_word_on_the_wire_is_one_of_a_shared_enum(struct: str, name: str) -> None:
    (found,) = {one for one in structs() if one.__name__ == struct}
    hints = typing.get_type_hints(found, include_extras=True)
    enums = enums_of(hints[name])
    assert enums, f"{struct}.{name} is free text"
    assert {enum.__module__ for enum in enums} == {status.__name__}


def test_the_exceptions_are_still_there() -> None:
    known = {
        (struct.__name__, field.name)
        for struct in structs()
        for field in msgspec.structs.fields(struct)
    }
    assert TEXT.keys() <= known
    assert len(FIELDS) > 20


@pytest.mark.parametrize("lifecycle", [one for one, _, _ in CHARTS])
def test_every_lifecycle_speaks_of_shared_states(lifecycle: Lifecycle[Any, Any]) -> None:
    assert lifecycle.states.__module__ == status.__name__
    words = [member.value for member in lifecycle.states]
    assert all(word == word.lower() and " " not in word for word in words)


def test_no_two_words_are_one_in_two_spellings() -> None:
    """`provision-failed` and `provision_failed` once cost months elsewhere."""
    enums: list[type[StrEnum]] = [
        value
        for value in vars(status).values()
        if isinstance(value, type) and issubclass(value, StrEnum) and value is not StrEnum
    ]
    every: list[type[StrEnum]] = [*enums, ContractEvent]
    words = {word for enum in every for word in map(str, enum)}
    folded = {word.replace("-", "").replace("_", "") for word in words}
    assert len(folded) == len(words)

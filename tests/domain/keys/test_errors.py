from __future__ import annotations

from decent_cloud.domain.keys import errors
from decent_cloud.domain.keys.errors import KeyRefused, UnknownHead
from decent_cloud.kernel.errors import Kind


def classes() -> list[type[KeyRefused]]:
    return [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, KeyRefused)
    ]


def test_each_refusal_has_a_code_and_a_sentence_of_its_own() -> None:
    found = classes()
    assert len({one.code for one in found}) == len({one().message for one in found}) == len(found)
    assert all(one().message.endswith(".") for one in found)


def test_only_a_chain_that_is_behind_is_worth_trying_again() -> None:
    assert {one for one in classes() if one.kind is not Kind.INVALID} == {UnknownHead}
    assert UnknownHead.kind is Kind.TRY_LATER

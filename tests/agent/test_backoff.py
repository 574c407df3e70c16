"""Pauses double, are shortened by chance, keep to what the other side asks, and have an end."""

from __future__ import annotations

import pytest

from decent_cloud.agent.backoff import LONGEST_MS, Backoff
from decent_cloud.client.errors import ApiProblem
from decent_cloud.drivers.contract import TryLater
from decent_cloud.wire.v1.problems import Problem


@pytest.mark.parametrize(
    ("tries", "pause_ms"),
    [(1, 1_000), (2, 2_000), (3, 4_000), (9, 256_000), (10, 300_000), (500, 300_000)],
)
def test_pauses_double_up_to_the_longest(tries: int, pause_ms: int) -> None:
    assert Backoff(chance=lambda: 1.0).pause_ms(tries) == pause_ms
    assert Backoff(chance=lambda: 0.0).pause_ms(tries) == pause_ms // 2


def test_what_the_other_side_asks_is_kept_up_to_an_hour() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    assert backoff.pause_ms(1, TryLater(after_s=30)) == 30_000
    assert backoff.pause_ms(1, TryLater(after_s=86_400)) == LONGEST_MS
    busy = Problem(status=429, code="x", title="", detail="", request_id="", retry_after_s=7)
    assert backoff.pause_ms(1, ApiProblem(busy)) == 7_000

"""How large answers may get."""

from __future__ import annotations

from decent_cloud.kernel import codec
from decent_cloud.wire.v1.agents import SignedDesired


def test_a_large_pool_fits_into_one_desired_state() -> None:
    signed = SignedDesired(payload="A" * 3_000_000, sig="A" * 86)
    assert codec.from_json(codec.to_json(signed), SignedDesired) == signed

"""A Docker engine for tests: the one that runs here, or one of our own for the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devtools.engine import Engine, EngineUnavailable, engine

_WAIT_S = 90  # less than a test may take, so that a busy engine is said to be one


@contextmanager
def engine_or_skip() -> Iterator[Engine]:
    """Give an engine for the block, or skip what needs one and say what to install."""
    try:
        with engine(wait_s=_WAIT_S) as running:
            yield running
    except EngineUnavailable as missing:
        pytest.skip(str(missing))


def require_own(running: Engine) -> Engine:
    """Skip a test that stops or freezes its engine where the engine is somebody else's."""
    if not running.owned:
        pytest.skip("an engine that was running before us is not ours to break")
    return running

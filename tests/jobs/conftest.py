"""Keeps what the runner logs out of the terminal, and cheap: tests make it fail on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """Collect what is logged."""
    with capture_logs() as logs:
        yield logs

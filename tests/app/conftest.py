"""A platform for each test, in memory."""

from __future__ import annotations

import pytest

from tests.support.usecases import Usecases


@pytest.fixture
def use() -> Usecases:
    return Usecases()

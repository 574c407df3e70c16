"""What must always hold, on dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.conftest import KINDS, Held, opened
from tests.support.usecases import Usecases


@pytest.fixture(params=KINDS)
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    """Give a fresh database of each kind."""
    database = opened(request, tmp_path)
    yield database
    database.close()


@pytest.fixture
def use(held: Held) -> Usecases:
    """Give a platform on it."""
    return Usecases(held)

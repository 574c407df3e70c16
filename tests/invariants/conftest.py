"""What must always hold, on dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from tests.contracts.conftest import Held, held, shared_postgres, sql
from tests.support.usecases import Usecases

__all__ = ["held", "shared_postgres", "sql"]


@pytest.fixture
def use(held: Held) -> Usecases:
    """Give a platform on it."""
    return Usecases(held)

"""Lets failures of the conformance kit show values, as in test files."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("decent_cloud.drivers.conformance")

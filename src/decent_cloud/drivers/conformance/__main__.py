"""Runs the kit in a process of its own: an `Account` in JSON on standard input, results into a file.

python -m decent_cloud.drivers.conformance RESULTS [pytest's arguments]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.account import Account, AccountRig, clean
from decent_cloud.drivers.conformance.results import Outcome, Results
from decent_cloud.drivers.conformance.rig import Rig
from decent_cloud.kernel import codec


class Given:
    """Gives each test the account, cleaned before and after, and notes how it ended."""

    def __init__(self, account: Account) -> None:
        self.outcomes: list[Outcome] = []
        self._account = account

    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        """Give the account to one test."""
        made = AccountRig(self._account)
        try:
            yield made
        finally:
            left = clean(made.driver(), min(made.poll_s, 2.0))
            made.close()
        assert not left, left

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test's worst phase."""
        if report.when == "call" or not report.passed:
            name = report.nodeid.rpartition("::")[2]
            why = "" if report.passed else _why(report)
            self.outcomes.append(Outcome(name, report.outcome, report.duration, why))


def _why(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a skipped test: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext.strip().rpartition("\n")[2]


def main() -> int:
    """Run the kit and write what became of each test."""
    given = Given(codec.from_json(sys.stdin.buffer.read(), Account))
    with tempfile.TemporaryDirectory(prefix="dc-conformance-") as empty:
        # Neither settings nor plugins of the folder that we were called from have a say.
        options = [
            "-c",
            "/dev/null",
            "--rootdir",
            empty,
            "-p",
            "no:cacheprovider",
            "-v",
            "--tb=short",
        ]
        pytest.register_assert_rewrite(__package__)
        kit_file = str(Path(__file__).with_name("kit.py"))
        code = pytest.main([kit_file, *options, *sys.argv[2:]], plugins=[given])
    results = Results(code=int(code), outcomes=tuple(given.outcomes))
    Path(sys.argv[1]).write_bytes(codec.to_json(results))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())

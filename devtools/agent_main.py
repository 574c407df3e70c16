"""The real agent as a process with a shared clock and a step hook: `python -m devtools.agent_main SPEC.json`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import msgspec
import structlog

from decent_cloud.agent.daemon import Agent, Parts, lock_data_dir
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.client.transport import Limits
from decent_cloud.drivers import registry
from decent_cloud.drivers.contract import Probe
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.kernel import codec
from devtools.killing import StepHook
from devtools.shared_clock import SharedClock


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run, and the files by which the test steers it; `probed` remembers an engine's trial over restarts."""

    settings: AgentSettings
    clock: str
    steps: str
    kill_at: str = ""
    freeze_at: str = ""
    probed: str = ""
    stream: bool = True
    journal_room_pages: int | None = None
    first_pause_s: float = 0.05
    longest_pause_s: float = 0.5


def main(spec_file: Path) -> None:
    """Work until told to stop, or until the step to die at."""
    spec = codec.from_json(spec_file.read_bytes(), AgentSpec)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = spec.settings
    lock_data_dir(settings.lock_file)
    journal = SqliteJournal(settings.journal)
    if spec.journal_room_pages is not None:
        _fill_disk(journal, spec.journal_room_pages)
    driver = registry.load(settings.driver, settings.driver_settings, journal.fact(PLATFORM_ID))
    if isinstance(driver, DockerDriver) and spec.probed:
        _remember_trial(driver, Path(spec.probed))
    parts = Parts(
        keys=load_keys(settings.key_file),
        journal=journal,
        driver=driver,
        clock=SharedClock(Path(spec.clock)),
        on_step=StepHook(Path(spec.steps), spec.kill_at, spec.freeze_at),
        limits=Limits(first_pause_s=spec.first_pause_s, longest_pause_s=spec.longest_pause_s),
    )
    agent = Agent(settings, parts)
    signal.signal(signal.SIGTERM, lambda _number, _frame: agent.stop())
    if not spec.stream:
        agent.hints.stop()  # what is stopped before it runs ends at once: polling is left
    agent.run()
    journal.close()


def _fill_disk(journal: SqliteJournal, room_pages: int) -> None:
    """Let the journal find its disk full once it has grown by so many pages of 4 KB."""
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages + room_pages}")


def _remember_trial(driver: DockerDriver, file: Path) -> None:
    """Spare restarts the seconds of a trial that the same engine has passed a moment ago."""
    if file.exists():
        driver._probed = codec.from_json(file.read_bytes(), Probe)
    elif driver.probe().passed:
        file.write_bytes(codec.to_json(driver.probe()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Both journals keep one promise: whole commits, unique ports, reports until acknowledged."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from decent_cloud.agent.journal import (
    LOG_SEQ,
    PROVIDER,
    AlreadyFulfilled,
    Journal,
    JournalBroken,
    JournalFull,
    NoFreePort,
)
from decent_cloud.agent.journal_memory import MemoryJournal
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.records import Alarm, Attempt, Change, Quarantined, Stage
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.kernel.ids import AccountId, Digest
from tests.agent.records import CONTRACT, HANDLE, NOW, OTHER, instance, report, want

NONE: frozenset[int] = frozenset()


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal = (
        MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "j.db")
    )
    yield made
    made.close()


def test_an_unknown_fact_is_empty_and_a_later_value_wins(journal: Journal) -> None:
    assert journal.fact(PROVIDER) == ""
    journal.set_facts({PROVIDER: "a", LOG_SEQ: "1"})
    journal.set_facts({PROVIDER: "b"})
    assert (journal.fact(PROVIDER), journal.fact(LOG_SEQ)) == ("b", "1")


def test_a_pin_only_moves_forward(journal: Journal) -> None:
    account = AccountId("a" * 64)
    assert journal.pin(account) is None
    journal.set_pin(account, Pin(3, Digest("b" * 64)))
    journal.set_pin(account, Pin(2, Digest("c" * 64)))
    assert journal.pin(account) == Pin(3, Digest("b" * 64))


def test_a_desired_view_is_kept_with_its_log_position(journal: Journal) -> None:
    journal.record_desired({LOG_SEQ: "7"}, [want(), want(OTHER)])
    journal.record_desired({LOG_SEQ: "8"}, [want(named=False)])
    assert journal.fact(LOG_SEQ) == "8"
    assert journal.want(CONTRACT) == want(named=False)
    assert [each.contract for each in journal.wants()] == [CONTRACT, OTHER]


def test_a_commit_keeps_every_field_of_an_instance(journal: Journal) -> None:
    full = instance(
        Stage.BOUND, fence=3, attempt="a1", scope="s", handle=HANDLE, host="h", port=2201, tries=2
    )
    journal.commit(Change(full))
    assert journal.instance(CONTRACT) == full
    assert journal.instances() == (full,)
    assert journal.instance(OTHER) is None


def test_attempts_are_found_by_id(journal: Journal) -> None:
    attempt = Attempt("a1", CONTRACT, NOW, "ssh-ed25519 AAAA", 2201, "{}")
    journal.commit(Change(instance(Stage.PREPARED), attempt=attempt))
    assert journal.attempt("a1") == attempt
    assert journal.attempt("a2") is None


def test_reports_stay_in_order_until_they_are_acknowledged(journal: Journal) -> None:
    one, two, other = report("one"), report("two"), report("other", OTHER)
    journal.commit(Change(instance(Stage.REPORTING), reports=(one, two)))
    journal.commit(Change(instance(Stage.REPORTING, OTHER), reports=(other,)))
    assert journal.reports_of(CONTRACT) == (one, two)
    assert journal.reports() == (one, two, other)
    journal.keep_report(replace(one, tries=1))
    journal.commit(Change(instance(Stage.BOUND), acknowledged=("two",)))
    assert journal.reports_of(CONTRACT) == (replace(one, tries=1),)


def test_the_same_report_again_changes_nothing(journal: Journal) -> None:
    first = report("one")
    journal.commit(Change(instance(Stage.REPORTING), reports=(first,)))
    journal.commit(Change(instance(Stage.REPORTING), reports=(replace(first, body="[]"),)))
    assert journal.reports() == (first,)


def test_an_acknowledged_report_does_not_come_back_by_a_late_note(journal: Journal) -> None:
    kept = report("one")
    journal.commit(Change(instance(Stage.REPORTING), reports=(kept,)))
    journal.commit(Change(instance(Stage.BOUND), acknowledged=("one",)))
    journal.keep_report(replace(kept, tries=1))
    assert journal.reports() == ()


def test_an_order_is_fulfilled_by_one_contract_only_and_the_refusal_writes_nothing(
    journal: Journal,
) -> None:
    digest = Digest("d" * 64)
    journal.commit(Change(instance(Stage.PREPARED), fulfils=digest))
    journal.commit(Change(instance(Stage.STARTED), fulfils=digest))
    with pytest.raises(AlreadyFulfilled):
        journal.commit(Change(instance(Stage.PREPARED, OTHER), fulfils=digest))
    assert journal.instance(OTHER) is None
    journal.forget(CONTRACT)
    with pytest.raises(AlreadyFulfilled):
        journal.commit(Change(instance(Stage.PREPARED, OTHER), fulfils=digest))


def test_ports_are_unique_kept_and_given_back(journal: Journal) -> None:
    assert journal.reserve_port(CONTRACT, 2201, 2203, NONE) == 2201
    assert journal.reserve_port(OTHER, 2201, 2203, NONE) == 2202
    assert journal.reserve_port(CONTRACT, 2201, 2203, NONE) == 2201
    assert journal.ports() == {2201: CONTRACT, 2202: OTHER}
    journal.commit(Change(instance(Stage.ENDED), frees_port=True))
    assert journal.ports() == {2202: OTHER}


def test_a_taken_port_can_be_skipped_and_an_exhausted_range_says_so(journal: Journal) -> None:
    assert journal.reserve_port(CONTRACT, 2201, 2202, frozenset({2201})) == 2202
    assert journal.reserve_port(OTHER, 2201, 2202, NONE) == 2201
    with pytest.raises(NoFreePort, match="2201 to 2202"):
        journal.reserve_port(CONTRACT, 2201, 2202, frozenset({2202}))


def test_two_threads_never_get_one_port(journal: Journal) -> None:
    from decent_cloud.kernel.ids import ContractId

    got: list[int] = []
    contracts = [ContractId(f"c{number:026}") for number in range(20)]
    threads = [
        threading.Thread(target=lambda c=c: got.append(journal.reserve_port(c, 1, 20, NONE)))
        for c in contracts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 21))


def test_a_quarantined_machine_is_news_once(journal: Journal) -> None:
    found = Quarantined(CONTRACT, "fake:1", "unknown", NOW)
    assert journal.quarantine(found)
    assert not journal.quarantine(replace(found, first_seen_ms=NOW + 1))
    journal.commit(Change(instance(Stage.FAILED), quarantined=(found,)))
    assert journal.quarantined() == (found,)
    journal.release(found)
    journal.release(found)
    assert journal.quarantined() == ()


def test_an_alarm_keeps_its_first_time_until_it_is_cleared(journal: Journal) -> None:
    assert journal.raise_alarm(Alarm("a", "one", NOW))
    assert not journal.raise_alarm(Alarm("a", "two", NOW + 5))
    assert journal.alarms() == (Alarm("a", "two", NOW),)
    journal.clear_alarm("a")
    journal.clear_alarm("a")
    assert journal.alarms() == ()


def test_forgetting_removes_an_ended_contract(journal: Journal) -> None:
    journal.record_desired({}, [want()])
    attempt = Attempt("a1", CONTRACT, NOW, "k", 0, "{}")
    journal.commit(Change(instance(Stage.ENDED), attempt=attempt))
    journal.reserve_port(CONTRACT, 1, 2, NONE)
    journal.forget(CONTRACT)
    assert (journal.instances(), journal.wants(), journal.attempt("a1")) == ((), (), None)
    assert journal.ports() == {}


def test_a_file_journal_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    first = SqliteJournal(path)
    first.commit(Change(instance(Stage.STARTED, handle=HANDLE), reports=(report("one"),)))
    first.record_desired({LOG_SEQ: "4"}, [want()])
    first.close()
    second = SqliteJournal(path)
    assert second.instance(CONTRACT) == instance(Stage.STARTED, handle=HANDLE)
    assert second.reports() == (report("one"),)
    assert (second.want(CONTRACT), second.fact(LOG_SEQ)) == (want(), "4")
    second.close()


def test_a_file_journal_flushes_every_commit_to_the_disk(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_a_journal_of_a_newer_agent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    SqliteJournal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(JournalBroken, match="newer"):
        SqliteJournal(path)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    path.write_bytes(b"nothing of the kind" * 300)
    with pytest.raises(JournalBroken, match=r"j\.db"):
        SqliteJournal(path)


def fill(journal: SqliteJournal, write: Callable[[int], None]) -> int:
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages + 4}")
    for number in range(10_000):
        try:
            write(number)
        except JournalFull as error:
            if "free disk space" not in error.message:
                raise
            return number
    raise AssertionError("the disk never filled")


def test_a_full_disk_is_a_clear_error_that_loses_nothing(tmp_path: Path) -> None:
    from decent_cloud.kernel.ids import ContractId

    path = tmp_path / "j.db"
    journal = SqliteJournal(path)

    def write(number: int) -> None:
        contract = ContractId(f"c{number:026}")
        journal.commit(
            Change(
                instance(Stage.STARTED, contract, note="x" * 400),
                reports=(report(f"r{number}", contract),),
            )
        )

    written = fill(journal, write)
    assert written > 0
    assert len(journal.instances()) == len(journal.reports()) == written
    assert [alarm.name for alarm in journal.alarms()] == ["journal_full"]
    journal._db.execute("PRAGMA max_page_count=1000000")
    write(written)
    assert journal.alarms() == ()
    journal.close()
    again = SqliteJournal(path)
    assert len(again.instances()) == written + 1
    again.close()

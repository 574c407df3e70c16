"""Only a view that the pinned platform signed, for us, on the log we know, is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from decent_cloud.agent.desired import (
    ALARM_DISTRUST,
    SILENT_AFTER_FAILURES,
    DesiredDistrusted,
    DesiredState,
    verified,
)
from decent_cloud.agent.journal import (
    LOG_HASH,
    LOG_SEQ,
    PLATFORM_ID,
    PLATFORM_KEY,
    POOL,
    PROVIDER,
)
from decent_cloud.agent.journal_memory import MemoryJournal
from decent_cloud.agent.situation import Standing
from decent_cloud.agent.steps import no_hook
from decent_cloud.client.errors import ApiProblem, BadAnswer, Unreachable
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.platform import DESIRED, PlatformKey
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.status import AssignmentState, Desired
from decent_cloud.wire.v1.agents import (
    AssignmentView,
    DesiredView,
    InstanceTerms,
    SignedDesired,
)
from decent_cloud.wire.v1.problems import Problem
from decent_cloud.wire.v1.statements import SignatureWire, StatementWire
from tests.agent.records import CONTRACT, NOW, OTHER

KEY = PlatformKey(b"\x01" * 32)
STRANGER = PlatformKey(b"\x02" * 32)
PINNED, HASH = 5, "a" * 64


def assignment(contract: str = CONTRACT, **changed: Any) -> AssignmentView:
    fields: dict[str, Any] = {
        "contract": contract,
        "digest": "d" * 64,
        "state": AssignmentState.OPEN,
        "desired": Desired.RUNNING,
        "attempt": 0,
        "fence": 0,
        "holder": "",
        "lease_expires_at_ms": 0,
        "scope": "",
        "tenant": "e" * 64,
        "order": StatementWire(p="", s=(SignatureWire(k="k" * 22, sig=""),)),
        "terms": InstanceTerms(image="i", cpu_milli=1, memory_mib=1, disk_gib=0, settings={}),
        "paid_until_ms": 0,
        "deadline_ms": 0,
        "renews": False,
        "suspended": False,
        **changed,
    }
    return AssignmentView(**fields)


def view(*items: AssignmentView, **changed: Any) -> DesiredView:
    fields: dict[str, Any] = {
        "platform_id": KEY.platform_id,
        "provider": "b" * 64,
        "pool": "w1",
        "seq": 6,
        "hash": "c" * 64,
        "pin_seq": PINNED,
        "pin_hash": HASH,
        "issued_at_ms": NOW,
        "assignments": items,
        **changed,
    }
    return DesiredView(**fields)


def signed(what: DesiredView, key: PlatformKey = KEY, kind: str = DESIRED) -> SignedDesired:
    payload = codec.to_json(what)
    return SignedDesired(payload=b64u.encode(payload), sig=b64u.encode(key.sign(kind, payload)))


def signed_bytes(payload: bytes) -> SignedDesired:
    return SignedDesired(payload=b64u.encode(payload), sig=b64u.encode(KEY.sign(DESIRED, payload)))


@pytest.fixture
def journal() -> MemoryJournal:
    made = MemoryJournal()
    made.set_facts(
        {
            PLATFORM_ID: KEY.platform_id,
            PLATFORM_KEY: b64u.encode(KEY.public),
            PROVIDER: "b" * 64,
            POOL: "w1",
            LOG_SEQ: str(PINNED),
            LOG_HASH: HASH,
        }
    )
    return made


def test_a_view_that_goes_on_from_the_pin_is_believed(journal: MemoryJournal) -> None:
    assert verified(signed(view()), journal) == view()
    same = view(seq=PINNED, hash=HASH)
    assert verified(signed(same), journal) == same


def test_the_first_view_of_all_needs_no_pin(journal: MemoryJournal) -> None:
    journal.set_facts({LOG_SEQ: "", LOG_HASH: ""})
    first = view(pin_seq=0, pin_hash="")
    assert verified(signed(first), journal) == first


BAD: list[tuple[str, Callable[[], SignedDesired], str]] = [
    ("signed by a stranger", lambda: signed(view(), STRANGER), "not signed"),
    ("signed as something else", lambda: signed(view(), kind="dcx/other/v1"), "not signed"),
    (
        "one bit off",
        lambda: msgspec.structs.replace(signed(view()), payload=signed(view(seq=7)).payload),
        "not signed",
    ),
    ("another platform's id", lambda: signed(view(platform_id="f" * 64)), "another platform"),
    ("another provider's", lambda: signed(view(provider="f" * 64)), "another platform"),
    ("another pool's", lambda: signed(view(pool="w2")), "another platform"),
    ("rolled back", lambda: signed(view(seq=PINNED - 1)), "rolled back"),
    ("a log without our entry", lambda: signed(view(pin_hash="")), "another one"),
    ("a log with another entry", lambda: signed(view(pin_hash="f" * 64)), "another one"),
    ("not JSON", lambda: signed_bytes(b"[1,"), "cannot be read"),
    ("an answer to another question", lambda: signed(view(pin_seq=PINNED - 1)), "another one"),
]


@pytest.mark.parametrize(
    ("made", "words"), [pytest.param(row[1], row[2], id=row[0]) for row in BAD]
)
def test_anything_else_is_not(
    journal: MemoryJournal, made: Callable[[], SignedDesired], words: str
) -> None:
    with pytest.raises(DesiredDistrusted, match=words):
        verified(made(), journal)


class Platform:
    """Answers what the test laid out, in order; the last answer stays."""

    def __init__(self, *answers: SignedDesired | DecentError) -> None:
        self.answers = list(answers)

    def desired(self, since: int) -> SignedDesired:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, DecentError):
            raise answer
        return answer


def state(journal: MemoryJournal, *answers: SignedDesired | DecentError) -> DesiredState:
    return DesiredState(Platform(*answers), journal, no_hook)  # type: ignore[arg-type]


def problem(status: int) -> ApiProblem:
    return ApiProblem(Problem(status=status, code="x", title="x", detail="x", request_id=""))


def test_a_view_is_journalled_and_its_news_are_named(journal: MemoryJournal) -> None:
    first = signed(view(assignment()))
    second = signed(
        view(
            assignment(),
            assignment(OTHER, desired=Desired.STOPPED),
            seq=7,
            pin_seq=6,
            pin_hash="c" * 64,
        )
    )
    desired = state(journal, first, second)
    assert desired.refresh(NOW) == {CONTRACT}
    assert (journal.fact(LOG_SEQ), journal.fact(LOG_HASH)) == ("6", "c" * 64)
    assert desired.refresh(NOW) == {OTHER}
    again = journal.want(OTHER)
    assert again is not None
    assert again.desired is Desired.STOPPED


def test_what_is_no_longer_named_is_remembered_as_it_was(journal: MemoryJournal) -> None:
    desired = state(
        journal,
        signed(view(assignment(desired=Desired.STOPPED))),
        signed(view(seq=7, pin_seq=6, pin_hash="c" * 64)),
    )
    desired.refresh(NOW)
    assert desired.refresh(NOW) == {CONTRACT}
    want = journal.want(CONTRACT)
    assert want is not None
    assert (want.named, want.desired) == (False, Desired.STOPPED)


def test_a_view_that_is_not_believed_changes_nothing_but_the_standing(
    journal: MemoryJournal,
) -> None:
    desired = state(
        journal, signed(view(assignment())), signed(view(platform_id="f" * 64)), signed(view(seq=3))
    )
    desired.refresh(NOW)
    before = journal.wants()
    for _ in range(2):
        assert desired.refresh(NOW) == frozenset()
        assert desired.standing is Standing.DISTRUSTED
        assert journal.wants() == before
    assert journal.alarms()[0].name == ALARM_DISTRUST


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_no_word_to_act_on(journal: MemoryJournal, status: int) -> None:
    desired = state(journal, problem(status))
    for _ in range(SILENT_AFTER_FAILURES + 1):
        desired.refresh(NOW)
    assert desired.standing is Standing.DISTRUSTED


def test_an_answer_of_another_shape_is_not_believed(journal: MemoryJournal) -> None:
    desired = state(journal, BadAnswer())
    desired.refresh(NOW)
    assert desired.standing is Standing.DISTRUSTED


@pytest.mark.parametrize("failure", [Unreachable(), problem(503), problem(500)])
def test_silence_is_several_failures_in_a_row(journal: MemoryJournal, failure: DecentError) -> None:
    desired = state(journal, signed(view(assignment())), failure)
    desired.refresh(NOW)
    for _ in range(SILENT_AFTER_FAILURES - 1):
        desired.refresh(NOW)
        assert desired.standing is Standing.TRUSTED
    assert desired.refresh(NOW) == {CONTRACT}
    assert desired.standing is Standing.SILENT


def test_too_many_requests_is_no_silence(journal: MemoryJournal) -> None:
    desired = state(journal, signed(view()), problem(429))
    for _ in range(SILENT_AFTER_FAILURES + 3):
        desired.refresh(NOW)
    assert desired.standing is Standing.TRUSTED


def test_a_platform_that_is_believed_again_wakes_everything(journal: MemoryJournal) -> None:
    good = signed(view(assignment()))
    desired = state(
        journal, good, problem(401), signed(view(assignment(), pin_seq=6, pin_hash="c" * 64))
    )
    desired.refresh(NOW)
    desired.refresh(NOW)
    assert desired.refresh(NOW) == {CONTRACT}
    assert desired.standing is Standing.TRUSTED
    assert journal.alarms() == ()

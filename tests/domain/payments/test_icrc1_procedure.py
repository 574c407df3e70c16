"""The payout procedure, row by row: what is stored, what time it is, what must be done next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decent_cloud.domain.payments.icrc1_accounts import Icrc1Account
from decent_cloud.domain.payments.icrc1_procedure import (
    EXPIRED_MARGIN_MS,
    FIRST_AGAIN_MS,
    FIRST_BACKOFF_MS,
    HORIZON_MS,
    RESCAN_MS,
    SENDING_MS,
    STABLE_MS,
    NotPaid,
    Paid,
    ScanLog,
    SendAgain,
    SendNew,
    WaitUntil,
    is_reconciling,
    next_step,
    scan_from,
)
from decent_cloud.domain.payments.icrc1_transfer import (
    MS_NS,
    REFUSALS,
    Attempt,
    LogEntry,
    Outcome,
    OutcomeKind,
    Scan,
    Sending,
    TransferTerms,
    is_ours,
    next_created_at_ns,
    payout_memo,
)
from decent_cloud.domain.payments.token_ledgers import TOKEN_LEDGERS
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from decent_cloud.kernel.money import Asset

K = OutcomeKind
CKUSDC, ICP, DCT = (TOKEN_LEDGERS[asset] for asset in (Asset.CKUSDC, Asset.ICP, Asset.DCT))
T0 = 1_795_000_000_000
LASTS_MS = 4 * MINUTE_MS


def attempt(number: int = 1, outcome: K | None = None, at_ms: int = T0, sends: int = 1) -> Attempt:
    told = (
        None
        if outcome is None
        else Outcome(outcome, block=7 if outcome in {K.OK, K.DUPLICATE} else None)
    )
    return Attempt(number, b"%d" % number, b"", (at_ms + LASTS_MS) * MS_NS, sends, at_ms, told)


def scan(as_of_ms: int, *, length: int = 50, newest_ms: int = 0, found: int | None = None) -> Scan:
    return Scan(as_of_ms * MS_NS, as_of_ms, length, newest_ms * MS_NS, found)


def sending(*attempts: Attempt, scans: tuple[Scan, ...] = (), ledger: object = CKUSDC) -> Sending:
    assert ledger in TOKEN_LEDGERS.values()
    return Sending(ledger, T0 * MS_NS, 40, attempts, scans)  # type: ignore[arg-type]


# --- row 1: fixed once, unique, marked ---


def test_a_creation_time_is_now_or_just_after_the_newest_there_is() -> None:
    assert next_created_at_ns(T0, 0) == T0 * MS_NS
    assert next_created_at_ns(T0, T0 * MS_NS) == T0 * MS_NS + 1
    assert next_created_at_ns(T0, T0 * MS_NS + 5) == T0 * MS_NS + 6


def test_a_memo_has_32_bytes_and_names_the_payout() -> None:
    assert len(payout_memo("po1")) == 32
    assert payout_memo("po1") != payout_memo("po2")
    assert payout_memo("po1") == payout_memo("po1")


# --- row 2: stored, then sent ---


def test_nothing_sent_yet_is_sent_while_there_is_time() -> None:
    assert next_step(sending(), T0) == SendNew(1)
    assert next_step(sending(), T0 + SENDING_MS - 1) == SendNew(1)
    assert isinstance(next_step(sending(), T0 + SENDING_MS), NotPaid)


@pytest.mark.parametrize("ledger", [CKUSDC, ICP, DCT])
def test_a_stored_attempt_without_outcome_is_sent_again_as_it_is(ledger: object) -> None:
    unsent = attempt(sends=0)
    assert next_step(sending(unsent, ledger=ledger), T0) == SendAgain(unsent)
    sent = attempt()
    assert next_step(sending(sent, ledger=ledger), T0) == WaitUntil(T0 + FIRST_AGAIN_MS, False)
    assert next_step(sending(sent, ledger=ledger), T0 + FIRST_AGAIN_MS) == SendAgain(sent)


# --- row 3: the ledger's word ---


@pytest.mark.parametrize("outcome", [K.OK, K.DUPLICATE])
@pytest.mark.parametrize("later", [0, SENDING_MS, 100 * HOUR_MS])
def test_ok_and_duplicate_are_paid_whatever_else_there_is(outcome: K, later: int) -> None:
    assert next_step(sending(attempt(1, outcome)), T0 + later) == Paid(7)
    both = sending(attempt(1, K.LOST), attempt(2, outcome), attempt(3, K.BAD_FEE))
    assert next_step(both, T0 + later) == Paid(7)


# --- row 4: no certain answer ---


@pytest.mark.parametrize("outcome", [K.LOST, K.UNVERIFIABLE])
def test_an_uncertain_answer_asks_with_the_same_envelope_until_it_expires(outcome: K) -> None:
    first = attempt(1, outcome)
    assert next_step(sending(first), T0 + FIRST_AGAIN_MS) == SendAgain(first)
    tired = replace(first, sends=10, sent_at_ms=T0 + MINUTE_MS)
    assert next_step(sending(tired), T0 + MINUTE_MS + 29_999) == WaitUntil(
        T0 + MINUTE_MS + 30_000, False
    )
    assert next_step(sending(tired), T0 + LASTS_MS) == SendNew(2)


@pytest.mark.parametrize(
    "outcome",
    [K.REJECTED, K.TEMPORARILY_UNAVAILABLE, K.GENERIC_ERROR, K.CREATED_IN_FUTURE],
)
def test_an_answer_that_may_change_is_tried_in_a_new_envelope_after_a_while(outcome: K) -> None:
    first = attempt(1, outcome)
    due = T0 + FIRST_BACKOFF_MS
    assert next_step(sending(first), due - 1) == WaitUntil(due, False)
    assert next_step(sending(first), due) == SendNew(2)
    third = attempt(3, outcome)
    many = sending(first, attempt(2, outcome), third)
    assert next_step(many, T0 + 4 * FIRST_BACKOFF_MS) == SendNew(4)


def test_backoff_grows_to_ten_minutes() -> None:
    late = attempt(40, K.REJECTED)
    assert next_step(sending(attempt(), late), T0 + 9 * MINUTE_MS) == WaitUntil(
        T0 + 10 * MINUTE_MS, False
    )


@pytest.mark.parametrize("ledger", [CKUSDC, ICP, DCT])
def test_nothing_is_sent_after_twenty_hours(ledger: object) -> None:
    old = sending(attempt(1, K.REJECTED), ledger=ledger)
    assert next_step(old, T0 + SENDING_MS) == ScanLog(40, reconciling=True)
    assert is_reconciling(old, T0 + SENDING_MS)
    assert not is_reconciling(old, T0 + SENDING_MS - 1)


# --- row 5: a refusal is proof only as the first answer ever ---


@pytest.mark.parametrize("refusal", sorted(REFUSALS))
def test_a_refusal_of_the_only_request_is_not_paid(refusal: K) -> None:
    assert next_step(sending(attempt(1, refusal)), T0) == NotPaid(refusal.value)
    assert not is_reconciling(sending(attempt(1, refusal)), T0)


@pytest.mark.parametrize("refusal", sorted(REFUSALS))
@pytest.mark.parametrize("before", [None, *(k for k in K if k not in {K.OK, K.DUPLICATE})])
@pytest.mark.parametrize("ledger", [CKUSDC, ICP, DCT])
def test_a_refusal_after_any_other_request_is_looked_up(
    refusal: K, before: K | None, ledger: object
) -> None:
    tried = sending(attempt(1, before), attempt(2, refusal), ledger=ledger)
    assert next_step(tried, T0 + MINUTE_MS) == ScanLog(40, reconciling=True)
    assert next_step(sending(attempt(1, refusal), attempt(2, before)), T0) == ScanLog(40, True)


# --- row 6: the log decides ---

AMBIGUOUS = (attempt(1, K.LOST), attempt(2, K.BAD_FEE))
AFTER = T0 + HORIZON_MS


def test_found_in_the_log_is_paid() -> None:
    assert next_step(sending(*AMBIGUOUS, scans=(scan(T0, found=44),)), T0) == Paid(44)
    seen = (scan(T0, found=44), scan(AFTER))
    assert next_step(sending(*AMBIGUOUS, scans=seen), AFTER) == Paid(44)


def test_not_found_yet_is_looked_for_again_the_older_the_less() -> None:
    young = sending(*AMBIGUOUS, scans=(scan(T0 + MINUTE_MS),))
    assert next_step(young, T0 + 2 * MINUTE_MS) == WaitUntil(T0 + 11 * MINUTE_MS, True)
    assert next_step(young, T0 + 11 * MINUTE_MS) == ScanLog(50, True)
    old = sending(*AMBIGUOUS, scans=(scan(T0 + 8 * HOUR_MS),))
    assert next_step(old, T0 + 9 * HOUR_MS) == WaitUntil(T0 + 10 * HOUR_MS, True)
    last = sending(*AMBIGUOUS, scans=(scan(AFTER - HOUR_MS),))
    assert next_step(last, AFTER) == WaitUntil(AFTER + EXPIRED_MARGIN_MS, True)


def test_not_found_before_a_block_past_the_horizon_is_not_paid() -> None:
    past = scan(AFTER + MINUTE_MS, newest_ms=AFTER + 1)
    assert isinstance(next_step(sending(*AMBIGUOUS, scans=(past,)), AFTER + HOUR_MS), NotPaid)
    at_it = scan(AFTER + MINUTE_MS, newest_ms=AFTER)
    due = AFTER + MINUTE_MS + RESCAN_MS
    assert next_step(sending(*AMBIGUOUS, scans=(at_it,)), due - 1) == WaitUntil(due, True)
    assert next_step(sending(*AMBIGUOUS, scans=(at_it,)), due) == ScanLog(50, True)


@pytest.mark.parametrize(
    ("first", "second", "over"),
    [
        (scan(AFTER + 1), scan(AFTER + 1 + STABLE_MS), True),
        (scan(AFTER), scan(AFTER + STABLE_MS), False),  # the first is not past the horizon
        (scan(AFTER + 1), scan(AFTER + STABLE_MS), False),  # too soon after it
        (scan(AFTER + 1), scan(AFTER + 1 + STABLE_MS, length=51), False),  # the log has grown
    ],
)
def test_a_log_that_stays_as_long_past_the_horizon_is_not_paid(
    first: Scan, second: Scan, over: bool
) -> None:
    step = next_step(sending(*AMBIGUOUS, scans=(first, second)), AFTER + HOUR_MS)
    assert isinstance(step, NotPaid) == over
    assert over or step == ScanLog(second.log_length, True)


def test_a_scan_goes_on_where_the_last_one_ended_unless_numbers_may_shift() -> None:
    assert scan_from(sending()) == 40
    assert scan_from(sending(scans=(scan(T0, length=55),))) == 55
    assert scan_from(sending(scans=(scan(T0, length=55),), ledger=DCT)) == 40


# --- row 7: a ledger that forgets is read before every new envelope, once the old ones are dead ---


@pytest.mark.parametrize("outcome", [K.LOST, K.REJECTED, K.TEMPORARILY_UNAVAILABLE, None])
def test_the_dct_log_is_read_before_each_retry(outcome: K | None) -> None:
    first = attempt(1, outcome)
    expired = T0 + LASTS_MS
    free = expired + EXPIRED_MARGIN_MS
    assert next_step(sending(first, ledger=DCT), expired) == WaitUntil(free, False)
    assert next_step(sending(first, ledger=DCT), free) == ScanLog(40, reconciling=False)
    early = sending(first, scans=(scan(expired),), ledger=DCT)
    assert next_step(early, free) == ScanLog(40, reconciling=False)
    looked = sending(first, scans=(scan(expired + 1),), ledger=DCT)
    assert next_step(looked, free) == SendNew(2)
    second = attempt(2, outcome, at_ms=free)
    again = sending(first, second, scans=(scan(expired + 1),), ledger=DCT)
    assert isinstance(next_step(again, free + LASTS_MS), WaitUntil)
    found = sending(first, scans=(scan(expired + 1, found=45),), ledger=DCT)
    assert next_step(found, free) == Paid(45)


# --- what is ours in the log ---

TERMS = TransferTerms(
    Icrc1Account(b"us"), Icrc1Account(b"them"), 100, 10, payout_memo("p"), T0 * MS_NS
)
OURS = LogEntry(
    index=3,
    at_ns=T0 * MS_NS + 5,
    payer=TERMS.payer.identifier(),
    payee=TERMS.payee.identifier(),
    amount_minor=100,
    fee_minor=10,
    memo=TERMS.memo,
    created_at_ns=TERMS.created_at_ns,
)


@pytest.mark.parametrize(
    "other",
    [
        replace(OURS, payer=OURS.payee),
        replace(OURS, payee=OURS.payer),
        replace(OURS, payer=None),
        replace(OURS, amount_minor=101),
        replace(OURS, memo=payout_memo("q")),
        replace(OURS, created_at_ns=T0),
        replace(OURS, created_at_ns=None),
    ],
)
def test_a_block_that_differs_in_anything_is_not_ours(other: LogEntry) -> None:
    assert is_ours(OURS, TERMS, CKUSDC)
    assert is_ours(replace(OURS, fee_minor=None), TERMS, CKUSDC)
    assert not is_ours(other, TERMS, CKUSDC)
    assert not is_ours(other, TERMS, DCT)


def test_a_missing_memo_is_forgiven_only_where_the_log_never_shows_one() -> None:
    silent = replace(OURS, memo=None)
    assert is_ours(silent, TERMS, DCT)
    assert not is_ours(silent, TERMS, CKUSDC)


# --- what holds for every history ---

OUTCOMES = st.one_of(st.none(), st.sampled_from(list(K)))
HISTORIES = st.builds(
    lambda ledger, outcomes, scans, gap: Sending(
        ledger,
        T0 * MS_NS,
        40,
        tuple(attempt(i, o, T0 + i * gap) for i, o in enumerate(outcomes, 1)),
        tuple(scan(T0 + at * MINUTE_MS, found=None) for at in sorted(scans)),
    ),
    ledger=st.sampled_from(list(TOKEN_LEDGERS.values())),
    outcomes=st.lists(OUTCOMES, max_size=5),
    scans=st.lists(st.integers(0, 2_000), max_size=2),
    gap=st.integers(0, HOUR_MS),
)


@settings(max_examples=50)
@given(HISTORIES, st.integers(0, 2 * HORIZON_MS))
def test_a_step_is_never_a_guess(history: Sending, later: int) -> None:
    now_ms = T0 + later
    step = next_step(history, now_ms)
    kinds = [a.outcome.kind for a in history.attempts if a.outcome]
    if isinstance(step, Paid):
        assert {K.OK, K.DUPLICATE} & set(kinds)
    if isinstance(step, SendNew | SendAgain):
        assert later < SENDING_MS
        assert not REFUSALS & set(kinds)
    if isinstance(step, NotPaid):
        refused_at_once = len(history.attempts) == 1 and kinds and kinds[0] in REFUSALS
        over = history.scans and history.scans[-1].as_of_ns > (T0 + HORIZON_MS) * MS_NS
        assert not history.attempts or refused_at_once or over
    if isinstance(step, WaitUntil):
        assert step.at_ms > now_ms
        # A clock that was set back stands before the last scan.
        known_ms = max([now_ms, *(scan.taken_at_ms for scan in history.scans)])
        assert step.at_ms < known_ms + HORIZON_MS + HOUR_MS
    assert SECOND_MS < FIRST_BACKOFF_MS

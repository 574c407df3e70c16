"""Prices, quotes and operators' words as use cases: what a round changes, and who may do what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.app import operator_prices, prices, quotes
from decent_cloud.app.caller import SYSTEM, Caller, CallerKind, DeviceOnly
from decent_cloud.app.ports.prices import Candle
from decent_cloud.app.prices import Round
from decent_cloud.domain.keys.errors import WrongSequence
from decent_cloud.domain.keys.operator_prices import SignedPrice, sign_operator_price
from decent_cloud.domain.keys.statements import Statement
from decent_cloud.domain.pricing.errors import (
    BadPrice,
    DailyQuotesExhausted,
    NoSuchQuote,
    PriceUnavailable,
    QuoteUsed,
)
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Observation, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Quote
from decent_cloud.domain.pricing.rounds import TOKENS
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import Forbidden, Invalid, NotFound, RateLimited
from decent_cloud.kernel.ids import AccountId, Kid
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import ChartRange, Coin, PriceOrigin, PriceSource
from decent_cloud.kernel.status import PriceState
from tests.domain.pricing.looks import FLOOR_MINOR, NOW_MS, TRUTH, lying, market, without
from tests.support.usecases import START_MS, Usecases

ME = Caller(AccountId("a" * 64), Kid("k"), CallerKind.DEVICE, 1, admin=False)
YOU = replace(ME, account=AccountId("b" * 64))
DAY_CAP_MINOR = 100_000


@dataclass(slots=True)
class Desk:
    """A database in memory, and rounds a minute apart."""

    db: MemoryDatabase = field(default_factory=MemoryDatabase)
    now_ms: int = NOW_MS

    def round(
        self, looks: list[Observation] | None = None, reports: tuple[SourceReport, ...] = ()
    ) -> None:
        found = Round(tuple(market(self.now_ms) if looks is None else looks), reports, FLOOR_MINOR)
        self.db.write_now(lambda uow: prices.record_round(uow, found, self.now_ms))
        self.now_ms += MINUTE_MS

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.round()

    def price(self, asset: Asset = Asset.ICP) -> prices.AssetPrice:
        return self.db.read_now(lambda uow: prices.price_of(uow, asset, self.now_ms))

    def chart(self, range_: ChartRange) -> tuple[int, tuple[Candle, ...]]:
        return self.db.read_now(lambda uow: prices.chart(uow, Asset.ICP, range_, self.now_ms))

    def candles(self, step_ms: int) -> tuple[Candle, ...]:
        return self.db.read_now(lambda uow: uow.prices.candles(Asset.ICP, step_ms, 0, 9))

    def quote(
        self, id_: str = "q1", caller: Caller = ME, asset: Asset = Asset.ICP, cents: int = 1_000
    ) -> Quote:
        return self.db.write_now(
            lambda uow: quotes.make_quote(uow, caller, asset, cents, self.now_ms, id_)
        )

    def use(self, id_: str, used_for: str, caller: Caller = ME) -> Quote:
        return self.db.write_now(
            lambda uow: quotes.use_quote(
                uow, caller.account, id_, used_for, self.now_ms, DAY_CAP_MINOR
            )
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_before_any_round_every_token_says_that_nobody_was_asked(desk: Desk) -> None:
    found = desk.db.read_now(lambda uow: prices.board(uow, NOW_MS))
    assert {one.asset for one in found.prices} == set(TOKENS)
    for one in found.prices:
        assert (one.price, one.can_quote, one.state) == (None, False, PriceState.HALTED)
        assert one.reason == "no source has been asked yet"


def test_rounds_make_a_price_with_all_it_rests_on(desk: Desk) -> None:
    desk.rounds(3)
    found = desk.price()
    assert found.price is not None
    assert (found.state, found.can_quote, found.reason) == (PriceState.OK, True, "")
    assert found.price.price_e12 == TRUTH[Coin.ICP]
    assert tuple(one.id for one in found.observations) == found.price.observations
    assert found.price.origin is PriceOrigin.MARKET


def test_an_hour_of_rounds_prices_the_thin_token(desk: Desk) -> None:
    desk.rounds(29)
    assert desk.price(Asset.DCT).price is None
    assert desk.price(Asset.DCT).reason.startswith("29 of 30 usable samples")
    desk.rounds(3)
    found = desk.price(Asset.DCT)
    assert found.price is not None
    assert found.price.price_e12 == TRUTH[Coin.DCT]


def test_a_round_that_is_written_twice_changes_nothing_twice(desk: Desk) -> None:
    looks = tuple(market(NOW_MS))
    for _ in range(2):
        desk.db.write_now(
            lambda uow: prices.record_round(uow, Round(looks, (), FLOOR_MINOR), NOW_MS)
        )
    assert len(desk.db.read_now(lambda uow: uow.prices.newest(0))) == len(looks)
    assert desk.db.read_now(lambda uow: uow.prices.points(Asset.ICP, NOW_MS + 1, 9)) == ()


def test_a_dead_market_is_shown_for_nothing_and_says_why(desk: Desk) -> None:
    desk.rounds(3)
    dead = SourceReport(PriceSource.KRAKEN, Coin.ICP, Coin.USD, NOW_MS, "answered HTTP 451")
    desk.round([], (dead,))
    # The exchanges' last words are still fresh; they have to go stale first.
    desk.now_ms += 5 * MINUTE_MS
    desk.round([], (dead,))
    found = desk.price()
    assert (found.price, found.can_quote) == (None, False)
    assert found.reason == "0 of 3 independent sources are fresh"
    shown = desk.db.read_now(lambda uow: prices.board(uow, desk.now_ms))
    assert shown.sources == (dead,)
    with pytest.raises(PriceUnavailable, match="0 of 3"):
        desk.quote()


def test_history_and_charts_are_drawn_from_what_was_accepted(desk: Desk) -> None:
    desk.rounds(12)
    desk.round(lying(market(desk.now_ms), PriceSource.COINBASE, 101, 100))
    items, next_ms = desk.db.read_now(lambda uow: prices.history(uow, Asset.ICP, desk.now_ms, 4))
    assert [one.price_e12 for one in items] == [TRUTH[Coin.ICP]] * 4
    assert next_ms == items[-1].at_ms
    older, end = desk.db.read_now(lambda uow: prices.history(uow, Asset.ICP, items[-1].at_ms, 50))
    assert (len(older), end) == (7, None)  # the first two rounds only led up to a price
    for range_ in ChartRange:
        step_ms, candles = desk.chart(range_)
        assert 1 <= len(candles) <= 4
        assert all(one.at_ms % step_ms == 0 for one in candles)
        assert {one.high_e12 for one in candles} == {TRUTH[Coin.ICP]}


def test_what_nobody_needs_any_more_is_dropped(desk: Desk) -> None:
    desk.rounds(3)
    desk.quote()
    later_ms = desk.now_ms + 4 * 366 * DAY_MS
    desk.db.write_now(lambda uow: prices.sweep(uow, later_ms))
    assert desk.db.read_now(lambda uow: uow.prices.newest(0)) == ()
    assert desk.db.read_now(lambda uow: uow.prices.points(Asset.ICP, later_ms, 9)) == ()
    assert desk.db.read_now(lambda uow: uow.prices.quote("q1")) is None
    for step_ms in prices.CANDLES_KEPT_MS:
        assert desk.candles(step_ms) == ()


def test_a_quote_locks_price_amount_and_observations(desk: Desk) -> None:
    desk.rounds(3)
    found = desk.quote(cents=1_001)
    assert found.amount_minor == 200_200_000
    assert found.expires_at_ms == desk.now_ms + 10 * MINUTE_MS
    assert {one.source for one in found.observations} >= {PriceSource.KRAKEN, PriceSource.OKX}
    desk.db.write_now(lambda uow: uow.prices.drop(2 * desk.now_ms, 0, 0))
    assert desk.db.read_now(lambda uow: quotes.read_quote(uow, ME, "q1")) == found


def test_a_quote_is_its_accounts_own(desk: Desk) -> None:
    desk.rounds(3)
    desk.quote()
    with pytest.raises(NoSuchQuote):
        desk.db.read_now(lambda uow: quotes.read_quote(uow, YOU, "q1"))
    with pytest.raises(NoSuchQuote):
        desk.use("q1", "c1.1", YOU)
    with pytest.raises(NoSuchQuote):
        desk.use("none", "c1.1")
    agent = replace(ME, kind=CallerKind.AGENT)
    with pytest.raises(DeviceOnly):
        desk.quote("q2", agent)


def test_a_quote_is_used_once(desk: Desk) -> None:
    desk.rounds(3)
    desk.quote()
    used = desk.use("q1", "c1.1")
    assert (used.used_for, used.used_at_ms) == ("c1.1", desk.now_ms)
    assert desk.use("q1", "c1.1").used_for == "c1.1"
    with pytest.raises(QuoteUsed):
        desk.use("q1", "c2.1")


def test_open_quotes_are_bounded(desk: Desk) -> None:
    desk.rounds(3)
    for number in range(quotes.MOST_OPEN):
        desk.quote(f"q{number}")
    with pytest.raises(RateLimited):
        desk.quote("more")
    assert desk.quote("yours", YOU).account == YOU.account
    desk.use("q0", "c1.1")
    assert desk.quote("more").id == "more"


def test_a_thin_token_is_taken_up_to_its_days_cap_and_no_further(desk: Desk) -> None:
    desk.rounds(32)
    for id_, cents in (("q1", DAY_CAP_MINOR - 1), ("q2", 2), ("q3", 1)):
        desk.quote(id_, asset=Asset.DCT, cents=cents)
    desk.use("q1", "c1.1")
    with pytest.raises(DailyQuotesExhausted):
        desk.use("q2", "c2.1")
    desk.use("q3", "c3.1")  # exactly the cap
    desk.quote("q4", asset=Asset.ICP, cents=DAY_CAP_MINOR + 1)
    assert desk.use("q4", "c4.1").used_at_ms  # ICP has a market everywhere


def test_payments_in_dollars_have_no_price_here(desk: Desk) -> None:
    for asset in (Asset.USD, Asset.EUR):
        with pytest.raises(NotFound):
            desk.price(asset)
        with pytest.raises(NotFound):
            desk.quote(asset=asset)
    assert prices.token_named("ckbtc") is Asset.CKBTC
    with pytest.raises(NotFound):
        prices.token_named("DOGE")


def test_an_operator_who_looked_shortens_a_halt(desk: Desk) -> None:
    desk.rounds(3)
    with pytest.raises(IllegalTransition):
        desk.db.write_now(lambda uow: prices.resume(uow, SYSTEM, Asset.ICP, desk.now_ms))
    with pytest.raises(Forbidden):
        desk.db.write_now(lambda uow: prices.resume(uow, ME, Asset.ICP, desk.now_ms))
    desk.now_ms += HOUR_MS
    desk.round([])
    assert desk.price().state is PriceState.HALTED
    desk.db.write_now(lambda uow: prices.resume(uow, SYSTEM, Asset.ICP, desk.now_ms))
    assert desk.price().price is None
    desk.round()
    assert desk.price().state is PriceState.OK


class Operator:
    """An operator's account on a platform in memory."""

    def __init__(self, use: Usecases) -> None:
        self.use = use
        self.member = use.account()
        self.caller = self.member.caller_of(self.member.keys, admin=True)

    def price(self, **changed: object) -> SignedPrice:
        found = SignedPrice(
            account_id=self.member.id,
            platform_id="11" * 32,
            asset="DCT",
            dollars="0.0204",
            number=1,
            until_ms=self.use.now_ms + DAY_MS,
        )
        return replace(found, **changed)  # type: ignore[arg-type]

    def set(self, price: SignedPrice, caller: Caller | None = None) -> OperatorPrice:
        statement: Statement = sign_operator_price(price, self.member.keys)
        return self.use.write(
            lambda uow: operator_prices.set_price(
                uow, caller or self.caller, Asset.DCT, statement, self.use.now_ms
            )
        )

    def shown(self) -> prices.AssetPrice:
        return self.use.read(lambda uow: prices.price_of(uow, Asset.DCT, self.use.now_ms))


@pytest.fixture
def operator() -> Operator:
    return Operator(Usecases())


def test_a_price_by_hand_is_shown_as_such_until_it_ends(operator: Operator) -> None:
    operator.set(operator.price())
    found = operator.shown()
    assert found.price is not None
    assert (found.price.origin, found.can_quote) == (PriceOrigin.OPERATOR, True)
    assert found.price.price_e12 == 204 * E12 // 10_000
    assert found.state is PriceState.HALTED  # the market's own state stays what it is
    operator.use.wait(DAY_MS - 1)
    assert operator.shown().can_quote
    operator.use.wait(1)
    assert operator.shown().price is None


def test_a_quote_never_outlives_the_price_by_hand_that_it_rests_on(operator: Operator) -> None:
    operator.set(operator.price())
    operator.use.wait(DAY_MS - MINUTE_MS)
    quote = operator.use.write(
        lambda uow: quotes.make_quote(
            uow, operator.member.caller, Asset.DCT, 204, operator.use.now_ms, "q1"
        )
    )
    assert (quote.origin, quote.observations) == (PriceOrigin.OPERATOR, ())
    assert quote.amount_minor == 100 * 10**9
    assert quote.expires_at_ms == operator.use.now_ms + MINUTE_MS


def test_a_price_by_hand_is_withdrawn_at_a_word(operator: Operator) -> None:
    operator.set(operator.price())
    operator.use.write(
        lambda uow: operator_prices.withdraw_price(
            uow, operator.caller, Asset.DCT, operator.use.now_ms
        )
    )
    assert operator.shown().price is None
    with pytest.raises(NotFound):
        operator.use.write(
            lambda uow: operator_prices.withdraw_price(
                uow, operator.caller, Asset.DCT, operator.use.now_ms
            )
        )
    found = operator.use.read(
        lambda uow: operator_prices.read_price(uow, operator.caller, Asset.DCT)
    )
    assert found.withdrawn_at_ms == operator.use.now_ms
    with pytest.raises(NotFound):
        operator.use.read(lambda uow: operator_prices.read_price(uow, operator.caller, Asset.ICP))


def test_numbers_follow_each_other_so_that_nothing_is_replayed(operator: Operator) -> None:
    first = operator.price()
    operator.set(first)
    with pytest.raises(WrongSequence):
        operator.set(first)
    with pytest.raises(WrongSequence):
        operator.set(operator.price(number=3))
    assert operator.set(operator.price(number=2, dollars="0.03")).price_e12 == 3 * E12 // 100
    assert operator.shown().price is not None


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"platform_id": "22" * 32}, Forbidden),
        ({"asset": "ICP"}, Invalid),
        ({"dollars": "0"}, BadPrice),
        ({"dollars": "1e99"}, BadPrice),
        ({"until_ms": 1}, Invalid),
        ({"until_ms": START_MS}, Invalid),
        ({"until_ms": START_MS + operator_prices.LONGEST_MS + 1}, Invalid),
    ],
)
def test_a_statement_that_says_something_else_is_refused(
    changed: dict[str, object], error: type[Exception], operator: Operator
) -> None:
    with pytest.raises(error):
        operator.set(operator.price(**changed))
    assert operator.shown().price is None


def test_the_longest_time_is_allowed(operator: Operator) -> None:
    until_ms = START_MS + operator_prices.LONGEST_MS
    assert operator.set(operator.price(until_ms=until_ms)).until_ms == until_ms


def test_only_an_operator_sets_a_price(operator: Operator) -> None:
    with pytest.raises(Forbidden):
        operator.set(operator.price(), operator.member.caller)
    assert operator.shown().price is None


def test_the_market_takes_over_as_soon_as_it_agrees(desk: Desk) -> None:
    by_hand = OperatorPrice(
        Asset.ICP, 1, 4 * E12, NOW_MS + DAY_MS, NOW_MS, ME.account, ME.kid, "{}"
    )
    desk.db.write_now(lambda uow: uow.prices.add_operator_price(by_hand))
    origins = []
    for _ in range(4):
        found = desk.price()
        assert found.price is not None
        origins.append(found.price.origin)
        desk.round()
    assert origins == [PriceOrigin.OPERATOR] * 3 + [PriceOrigin.MARKET]
    desk.now_ms += HOUR_MS
    desk.round(without(market(desk.now_ms), *PriceSource))
    fallen_back = desk.price().price
    assert fallen_back is not None
    assert fallen_back.origin is PriceOrigin.OPERATOR

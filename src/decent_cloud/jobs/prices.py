"""Background work of prices: every minute ask all sources, store what they say, judge it in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from decent_cloud.app import prices
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.price_sources import Moment, Reading, Source
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.prices import Round
from decent_cloud.domain.pricing.observation import Observation, Pair, SourceReport
from decent_cloud.domain.pricing.quotes import state_now
from decent_cloud.jobs.handler import Cron, Next, Step
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.ids import JobId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import PriceState

OBSERVE_KIND = "prices.observe"
EVERY_MS = MINUTE_MS
LATE_MS = MINUTE_MS  # by then the next round is under way
SOURCE_S = 40.0  # for all pairs of one source
MOST_REASON_CHARS = 200

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Data:
    tick_ms: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What asking one source for one pair came to: a reading, or why there is none."""

    source: Source
    pair: Pair
    reading: Reading | None
    reason: str


class ObservePrices:
    """Asks every source that is switched on; one that fails, lies or sleeps holds up no other."""

    kind = OBSERVE_KIND

    def __init__(
        self, sources: Sequence[Source], pool_floor_usd_minor: int, *, source_s: float = SOURCE_S
    ) -> None:
        self._sources = tuple(sources)
        self._pool_floor_usd_minor = pool_floor_usd_minor
        self._source_s = source_s

    async def run(self, job: Job, step: Step) -> None:
        """Do one round. Nothing outside changes by asking, so a repeated step only sees newer prices."""
        tick_ms = from_json(job.data, _Data).tick_ms
        if step.now_ms() >= tick_ms + LATE_MS:
            await step.commit(lambda _uow: Next.done())
            return
        moment = Moment(step.now_ms(), await step.read(lambda uow: _icp(uow, step.now_ms())))
        asked = (self._ask_all(source, moment) for source in self._sources)
        answers = [one for some in await asyncio.gather(*asked) for one in some]
        heard_ms = step.now_ms()
        found = Round(
            tuple(_observation(a, a.reading, tick_ms, heard_ms) for a in answers if a.reading),
            tuple(_report(a, heard_ms) for a in answers),
            self._pool_floor_usd_minor,
        )
        await step.commit(lambda uow: _judge(uow, found, heard_ms))

    async def _ask_all(self, source: Source, moment: Moment) -> tuple[_Answer, ...]:
        """Ask one source for all its pairs, one after the other, as long as its time lasts."""
        answers: list[_Answer] = []
        try:
            async with asyncio.timeout(self._source_s):
                for number, pair in enumerate(source.pairs):
                    if number:
                        await asyncio.sleep(source.pause_s)
                    answers.append(await _ask(source, pair, moment))
        except TimeoutError:
            left = source.pairs[len(answers) :]
            answers += [_Answer(source, pair, None, "took too long") for pair in left]
        return tuple(answers)


def minutely() -> Cron:
    """Return the cron that starts a round every minute."""
    return Cron("prices.minutely", EVERY_MS, _start)


def hourly() -> Cron:
    """Return the cron that removes what is older than it is kept."""
    return Cron("prices.sweep", HOUR_MS, prices.sweep)


def _start(uow: UnitOfWork, now_ms: int) -> None:
    key = f"{OBSERVE_KIND}:{now_ms // EVERY_MS}"
    data = to_json({"tick_ms": now_ms}).decode()
    uow.jobs.add(Job(JobId(key), OBSERVE_KIND, key, now_ms, data))


def _judge(uow: UnitOfWork, found: Round, now_ms: int) -> Next:
    prices.record_round(uow, found, now_ms)
    return Next.done()


def _icp(uow: UnitOfWork, now_ms: int) -> int | None:
    """Return what an ICP was worth lately, to size a trade by."""
    known = uow.prices.standing(Asset.ICP)
    if known is None or known.accepted is None or state_now(known, now_ms) is PriceState.HALTED:
        return None
    return known.accepted.price_e12


async def _ask(source: Source, pair: Pair, moment: Moment) -> _Answer:
    try:
        return _Answer(source, pair, await source.read(pair, moment), "")
    except DecentError as error:
        return _Answer(source, pair, None, error.message[:MOST_REASON_CHARS])
    except Exception:  # noqa: BLE001 - one source's surprise is not another's
        _log.exception("prices.source_broke", source=source.name.value, pair=str(pair))
        return _Answer(source, pair, None, "its answer could not be read")


def _observation(answer: _Answer, reading: Reading, tick_ms: int, heard_ms: int) -> Observation:
    source, pair = answer.source.name, answer.pair
    return Observation(
        # The same tick of the same source is one observation, however often the step is run.
        id=f"{source.value}:{pair}:{tick_ms // EVERY_MS}",
        source=source,
        base=pair.base,
        quote=pair.quote,
        price_e12=reading.price_e12,
        observed_at_ms=reading.observed_at_ms,
        received_at_ms=heard_ms,
        spread_ppm=reading.spread_ppm,
        depth_usd_minor=reading.depth_usd_minor,
    )


def _report(answer: _Answer, heard_ms: int) -> SourceReport:
    pair = answer.pair
    return SourceReport(answer.source.name, pair.base, pair.quote, heard_ms, answer.reason)

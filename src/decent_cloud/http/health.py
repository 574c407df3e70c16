"""Whether this process lives, whether it can do its work, and what it counts."""

from __future__ import annotations

from typing import Any

import structlog
from litestar import Request, Response, get
from litestar.di import NamedDependency

from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.pricing.quotes import state_now
from decent_cloud.http.addresses import is_loopback
from decent_cloud.http.call import Call
from decent_cloud.http.metrics import Metrics, token_fits
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.codec import Answer
from decent_cloud.kernel.errors import Forbidden, TryLater
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import ContractState, JobState, PriceState

_log = structlog.get_logger(__name__)

LOOK_EVERY_MS = SECOND_MS


class Health(Answer, frozen=True):
    """The process answers."""

    status: str


class PriceFigure(Answer, frozen=True):
    """How one token's price stands: it says nothing of the server's own readiness."""

    asset: Asset
    state: PriceState
    age_s: int | None


class Readiness(Answer, frozen=True, omit_defaults=True):
    """The database takes writes and the jobs run. `prices` are there once a source was asked."""

    status: str
    prices: tuple[PriceFigure, ...] = ()


@get("/healthz", include_in_schema=False)
async def healthz() -> Health:
    """Answer as long as the process does."""
    return Health(status="ok")


@get("/readyz", include_in_schema=False)
async def readyz(call: NamedDependency[Call]) -> Readiness:
    """Answer 200 if a write goes through and a job ticked lately, else 503. One look a second serves all who ask."""
    edge = call.edge
    if edge.ready.looked_ms + LOOK_EVERY_MS <= call.now_ms:
        edge.ready.looked_ms = call.now_ms
        edge.ready.reason = "the last check is not over"
        edge.ready.reason = await _hindrance(call)
        edge.metrics.ready.set(0 if edge.ready.reason else 1)
    if edge.ready.reason:
        raise TryLater(edge.ready.reason)
    figures = await call.read(lambda uow: _price_figures(uow, call.now_ms))
    return Readiness(status="ready", prices=figures)


@get("/metrics", include_in_schema=False, media_type="text/plain")
async def metrics(call: NamedDependency[Call], request: Request[Any, Any, Any]) -> Response[bytes]:
    """Show the meters to this machine, or to whoever has the configured token."""
    edge = call.edge
    if edge.metrics_token:
        allowed = token_fits(request.headers.get("authorization", ""), edge.metrics_token)
    else:
        allowed = is_loopback(call.client)
    if not allowed:
        raise Forbidden("metrics are shown on loopback, or with the token of `metrics_token`")
    edge.metrics.set_records(await call.read(_counts))
    figures = await call.read(lambda uow: _price_figures(uow, call.now_ms))
    edge.metrics.set_prices((one.asset.value, one.state.value, one.age_s) for one in figures)
    return Response(edge.metrics.text(), media_type=Metrics.content_type)


def _counts(uow: UnitOfWork) -> dict[tuple[str, str], int]:
    """Count contracts and jobs, every state named, so that a graph starts at 0."""
    contracts, jobs = uow.contracts.count_by_state(), uow.jobs.count_by_state()
    return {
        **{("contract", state.value): contracts.get(state, 0) for state in ContractState},
        **{("job", state.value): jobs.get(state, 0) for state in JobState},
    }


def _price_figures(uow: UnitOfWork, now_ms: int) -> tuple[PriceFigure, ...]:
    return tuple(
        PriceFigure(
            asset=asset,
            state=state_now(standing, now_ms),
            age_s=max(0, now_ms - standing.accepted.at_ms) // SECOND_MS
            if standing.accepted
            else None,
        )
        for asset, standing in uow.prices.standings().items()
    )


async def _hindrance(call: Call) -> str:
    """Return what keeps this server from its work, empty if nothing does."""
    try:
        last_tick_ms = await call.edge.db.write(lambda uow: _write_and_look(uow, call))
    except Exception as error:  # noqa: BLE001 - whatever keeps it from writing is the answer
        _log.warning("not ready", exc_info=error)
        return "the database takes no writes"
    if call.now_ms - last_tick_ms > call.edge.jobs_alive_ms:
        return "the background jobs stand still"
    return ""


def _write_and_look(uow: UnitOfWork, call: Call) -> int:
    """Write a row, as only that shows a full disk; housekeeping removes it."""
    uow.requests.use_nonce("readyz", call.request_id, call.now_ms)
    return uow.platform.last_tick_ms()


ROUTES = (healthz, readyz, metrics)

"""Whether this process lives, whether it can do its work, and what it counts."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.http.addresses import is_loopback
from decent_cloud.http.call import Call
from decent_cloud.http.metrics import Metrics, token_fits
from decent_cloud.kernel.codec import Answer
from decent_cloud.kernel.errors import DecentError, Forbidden, TryLater
from decent_cloud.kernel.status import ContractState, JobState


class Health(Answer, frozen=True):
    """The process answers."""

    status: str


class Readiness(Answer, frozen=True):
    """The database takes writes and the jobs run."""

    status: str
    last_tick_ms: int


@get("/healthz", include_in_schema=False)
async def healthz() -> Health:
    """Answer as long as the process does."""
    return Health(status="ok")


@get("/readyz", include_in_schema=False)
async def readyz(call: NamedDependency[Call]) -> Readiness:
    """Answer 200 if a write goes through and a job ticked lately, else 503."""
    edge = call.edge
    edge.metrics.ready.set(0)
    try:
        last_tick_ms = await edge.db.write(_write_and_look)
    except DecentError:
        raise
    except Exception as error:
        raise TryLater("the database takes no writes") from error
    if call.now_ms - last_tick_ms > edge.jobs_alive_ms:
        raise TryLater("the background jobs stand still")
    edge.metrics.ready.set(1)
    return Readiness(status="ready", last_tick_ms=last_tick_ms)


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
    return Response(edge.metrics.text(), media_type=Metrics.content_type)


def _counts(uow: UnitOfWork) -> dict[tuple[str, str], int]:
    """Count contracts and jobs, every state named, so that a graph starts at 0."""
    contracts, jobs = uow.contracts.count_by_state(), uow.jobs.count_by_state()
    return {
        **{("contract", state.value): contracts.get(state, 0) for state in ContractState},
        **{("job", state.value): jobs.get(state, 0) for state in JobState},
    }


def _write_and_look(uow: UnitOfWork) -> int:
    uow.requests.drop_before(0, 0)  # touches no row, but takes the write path
    return uow.platform.last_tick_ms()


ROUTES = (healthz, readyz, metrics)

"""Puts the HTTP edge together: routes, guards, failures, and the gate around it all."""

from __future__ import annotations

from typing import Any

import structlog
from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp, ControllerRouterHandler

from decent_cloud.http import permissions, strict
from decent_cloud.http.call import Call, call_of
from decent_cloud.http.edge import Edge
from decent_cloud.http.errors import failure_of
from decent_cloud.http.gate import Gate
from decent_cloud.http.health import ROUTES as HEALTH_ROUTES
from decent_cloud.http.openapi import document
from decent_cloud.http.v1.routes import ROUTES as V1_ROUTES

_log = structlog.get_logger(__name__)


def application(edge: Edge) -> ASGIApp:
    """Return the ASGI application."""
    return Gate(routes(), edge)


def routes(described: OpenAPIConfig | None = None) -> Litestar:
    """Return the routes without the gate: what the permission test and the OpenAPI document walk."""
    api: list[ControllerRouterHandler] = list(V1_ROUTES)
    return Litestar(
        route_handlers=[Router(permissions.PREFIX, route_handlers=api), *HEALTH_ROUTES],
        guards=[permissions.guard, strict.guard],
        dependencies={"call": Provide(_call, sync_to_thread=False)},
        exception_handlers={Exception: _failed},
        openapi_config=described,
        logging_config=None,
        request_max_body_size=None,  # the gate has counted it
    )


def describe(version: str) -> dict[str, Any]:
    """Return the OpenAPI document. It needs routes of its own: the framework would serve it at a place of its own."""
    return document(
        routes(
            OpenAPIConfig(
                title="Decent Cloud",
                version=version,
                description="Rent real machines, with keys of your own. Conventions: docs/api.md.",
                operation_id_creator=_operation_id,
                create_examples=False,
            )
        )
    )


def _operation_id(handler: HTTPRouteHandler, _method: object, _path: object) -> str:
    return handler.handler_name


def _call(request: Request[Any, Any, Any]) -> Call:
    return call_of(request.scope)


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    call = call_of(request.scope)
    failure = failure_of(error, call.request_id)
    call.problem = failure.code
    if failure.status >= 500:
        _log.error("request failed", request_id=call.request_id, exc_info=error)
    headers = dict(failure.headers)
    return Response(
        failure.body,
        status_code=failure.status,
        media_type=headers.pop("content-type"),
        headers=headers,
    )

"""Who this platform is, and the document of its API."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency

from decent_cloud.domain.keys import b64u
from decent_cloud.http.call import Call
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.wire.v1.accounts import PlatformView


@get("/platform", summary="Who this platform is")
async def read_platform(call: NamedDependency[Call]) -> PlatformView:
    """Pin `platform_id`: it is the hash of `key`, which signs what agents are told to do."""
    edge = call.edge
    return PlatformView(
        platform_id=edge.platform_key.platform_id,
        key=b64u.encode(edge.platform_key.public),
        mode=edge.mode.value,
        origins=edge.origins.known,
        version=edge.version,
        processors=edge.processors,
        now=rfc3339(call.now_ms),
    )


@get("/openapi.json", include_in_schema=False)
async def read_openapi(call: NamedDependency[Call]) -> Response[bytes]:
    """Return the OpenAPI document."""
    return Response(call.edge.documents.openapi, media_type="application/json")


@get("/docs", include_in_schema=False)
async def read_docs(call: NamedDependency[Call]) -> Response[bytes]:
    """Return the document as a page for people."""
    return Response(
        call.edge.documents.page,
        media_type="text/html; charset=utf-8",
        headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


ROUTES = (read_platform, read_openapi, read_docs)

"""What a request may contain: unknown query parameters and fields are refused by name, before the handler runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from decent_cloud.http.call import call_of
from decent_cloud.http.errors import invalid_body
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.errors import Invalid

_NOT_QUERY = frozenset({"data", "call", "request", "scope", "return"})


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse what the handler's signature does not name. Litestar itself lets both through or reads them leniently."""
    path_names = connection.scope.get("path_params", {})
    _check_query(connection.scope["query_string"], _query_names(handler, path_names))
    body_type = _body_type(handler)
    raw = call_of(connection.scope).raw
    if body_type is None:
        if raw not in {b"", b"{}"}:
            raise Invalid("this route takes no body")
        return
    if not raw:
        raise Invalid("this route needs a JSON body; see /api/v1/docs")
    try:
        from_json(raw, body_type)
    except Invalid as error:
        raise invalid_body(error) from None


def _check_query(raw: bytes, known: frozenset[str]) -> None:
    seen: set[str] = set()
    for name, _ in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            can = ", ".join(sorted(known)) or "none"
            raise Invalid(f"{name}: unknown query parameter (known: {can})", field=name)
        if name in seen:
            raise Invalid(f"{name}: given twice", field=name)
        seen.add(name)


def _query_names(handler: BaseRouteHandler, path_names: Mapping[str, object]) -> frozenset[str]:
    parameters = handler.parsed_fn_signature.parameters.items()
    known = (
        getattr(field.kwarg_definition, "name", None) or name
        for name, field in parameters
        if name not in _NOT_QUERY
    )
    return frozenset(known) - path_names.keys()


def _body_type(handler: BaseRouteHandler) -> Any:
    if not isinstance(handler, HTTPRouteHandler):
        return None
    field = handler.parsed_fn_signature.parameters.get("data")
    return None if field is None else field.annotation

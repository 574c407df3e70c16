"""Query parameters that every list takes."""

from __future__ import annotations

import re
from typing import Annotated

from litestar.params import QueryParameter

from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.paging import MAX_LIMIT, PageRequest

Cursor = Annotated[str, QueryParameter(max_length=200, description="`next` of the page before.")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Most rows to return.")]

_CURSOR = re.compile(r"[A-Za-z0-9_.:|~=-]*")


def page_request(cursor: str, limit: int) -> PageRequest:
    """Return which page is asked for."""
    if not _CURSOR.fullmatch(cursor):
        raise Invalid("cursor: not a cursor of ours", field="cursor")
    return PageRequest(cursor=cursor, limit=limit)

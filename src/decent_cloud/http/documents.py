"""The API's documents, made when first asked for: the OpenAPI one and a page for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from decent_cloud.http.page import page_of
from decent_cloud.kernel.codec import to_json


class Documents:
    """Both forms of one description."""

    def __init__(self, describe: Callable[[], Mapping[str, Any]]) -> None:
        self._describe = describe

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document as JSON."""
        return to_json(self._description)

    @cached_property
    def page(self) -> bytes:
        """The same as HTML, readable without scripts."""
        return page_of(self._description).encode()

    @cached_property
    def _description(self) -> Mapping[str, Any]:
        return self._describe()

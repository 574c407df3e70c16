"""Settings of the manual driver."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid


class ManualSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `path` is the file of requests; `on_change` a program that is told of each, as JSON on its
    standard input. With no `images`, offerings may name any.
    """

    path: str
    on_change: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    capacity: Annotated[int, msgspec.Meta(ge=1)] | None = None
    isolation: str = "what the provider's people make"


def read_settings(settings: Mapping[str, object]) -> ManualSettings:
    """Read and check settings; raises Invalid naming the field."""
    parsed = codec.convert(dict(settings), ManualSettings)
    for field, path in (("path", parsed.path), ("on_change", "".join(parsed.on_change[:1]))):
        if path and not Path(path).is_absolute():
            raise Invalid("give the full path", field=field)
    return parsed

"""How the settings of a cloud's driver are read: names, and lists that must not be empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

Name = Annotated[str, msgspec.Meta(min_length=1)]
S = TypeVar("S", bound=msgspec.Struct)


def read_cloud_settings(settings: Mapping[str, object], kind: type[S], places: str) -> S:
    """Read and check settings of a kind; `images` and the field of places must not be empty.

    Errors: Invalid naming the field.
    """
    parsed = codec.convert(dict(settings), kind)
    for field in ("images", places):
        if not getattr(parsed, field):
            raise Invalid(f"at least one {field.removesuffix('s')} is needed", field=field)
    return parsed

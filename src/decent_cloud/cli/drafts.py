"""Drafts of offerings: read from a TOML file and flags, and kept beside the profile as what was asked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from decent_cloud.cli.first_scripts import with_text
from decent_cloud.cli.words import parse_amount, parse_cores
from decent_cloud.client.private_files import read_private, write_private
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.money import Asset
from decent_cloud.wire.v1.offerings import OfferingDraft

PRICE = "price_per_hour"
CORES = "cpu"


def read_file(file: Path) -> dict[str, Any]:
    """Return the fields of a TOML file; numbers keep all their decimals.

    Errors: NotFound, Invalid.
    """
    try:
        return with_text(tomllib.loads(file.read_text(), parse_float=Decimal), file.parent)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", field="file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} is not TOML: {error}", field="file") from error


def draft_of(fields: Mapping[str, Any]) -> OfferingDraft:
    """Return the draft that these fields say; `price_per_hour` is in major units, `cpu` in cores.

    Errors: Invalid naming the field.
    """
    shape = dict(fields)
    if PRICE in shape:
        price = str(shape.pop(PRICE))
        asset = _asset(shape.get("asset"))
        shape["price_minor_per_hour"] = str(parse_amount(price, asset, PRICE))
    if CORES in shape:
        shape["cpu_milli"] = parse_cores(str(shape.pop(CORES)), CORES)
    try:
        return codec.convert(shape, OfferingDraft)
    except Invalid as error:
        field = f" ({error.field})" if error.field else ""
        raise Invalid(f"the offering's {error.message}{field}", field=error.field) from None


def _asset(text: object) -> Asset:
    try:
        return Asset(str(text))
    except ValueError:
        known = ", ".join(Asset)
        raise Invalid(f"a price needs an asset: one of {known}", field="asset") from None


class AskedOfferings:
    """The last draft sent for each offering: what a signature is compared with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, offering: str, draft: OfferingDraft) -> None:
        """Keep what was asked."""
        write_private(self._folder / f"{offering}.json", codec.to_json(draft))

    def get(self, offering: str) -> OfferingDraft | None:
        """Return what was asked from here, if it was from here."""
        try:
            return codec.from_json(read_private(self._folder / f"{offering}.json"), OfferingDraft)
        except FileNotFoundError:
            return None
